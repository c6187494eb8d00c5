"""How many examples there are: 200 in all, or with `HYPOTHESIS_PROFILE=long` 10,000."""

import functools
import os
from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis.errors import UnsatisfiedAssumption

TOTALS = {"short": 200, "long": 10_000}
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "short")
if PROFILE not in TOTALS:
    raise ValueError(f"HYPOTHESIS_PROFILE={PROFILE}: expected one of {', '.join(TOTALS)}")
TOTAL = TOTALS[PROFILE]

#: Examples that were tried to their end by property, and those of them that were refused in a sentence.
tried: Counter[str] = Counter()
refused: Counter[str] = Counter()
#: The share of each property of all examples.
shares: dict[str, float] = {}


def examples(share):
    """Decorates a property that gets a share of all examples; counts those that are tried."""

    def decorate(test):
        shares[test.__name__] = share
        inner = test.hypothesis.inner_test

        @functools.wraps(inner)
        def counted(*args, **kwargs):
            try:
                inner(*args, **kwargs)
            except UnsatisfiedAssumption:
                raise
            except BaseException:
                tried[test.__name__] += 1
                raise
            tried[test.__name__] += 1

        test.hypothesis.inner_test = counted
        number = max(2, round(TOTAL * share))
        return settings(
            max_examples=number,
            deadline=None,
            database=None,
            derandomize=PROFILE == "short" and "CI" in os.environ,
            suppress_health_check=list(HealthCheck),
        )(test)

    return decorate


def sentence(error):
    """An error that says something, in one paragraph."""
    told = str(error)
    assert told.strip() and len(told) < 2000, repr(error)
    return told
