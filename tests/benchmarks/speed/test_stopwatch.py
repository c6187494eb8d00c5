import time

import pytest

from benchmarks.speed import stopwatch
from benchmarks.speed.stopwatch import Stopwatch


class Base:
    def inherited(self):
        return "base"


class Thing(Base):
    def outer(self, clock):
        clock(1.0)
        self.inner(clock)
        clock(2.0)
        return "done"

    def inner(self, clock):
        clock(4.0)

    def fails(self, clock):
        clock(8.0)
        raise KeyError("no")


@pytest.fixture
def clock(monkeypatch):
    """Lets time pass when told to, and says what time it is."""
    now = [0.0]
    monkeypatch.setattr(stopwatch, "perf_counter", lambda: now[0])

    def passes(seconds):
        now[0] += seconds

    return passes


def test_each_second_counts_once(clock):
    with Stopwatch() as watch:
        watch.wrap(Thing, "outer", "outside")
        watch.wrap(Thing, "inner", "inside")
        assert Thing().outer(clock) == "done"
        Thing().inner(clock)
        with watch.timing("outside"):
            clock(16.0)
    assert watch.seconds == {"outside": 19.0, "inside": 8.0}
    assert watch.calls == {"outside": 2, "inside": 2}


def test_what_fails_is_timed_and_leaves_the_rest_right(clock):
    with Stopwatch() as watch:
        watch.wrap(Thing, "fails", "failing")
        with watch.timing("around"):
            with pytest.raises(KeyError):
                Thing().fails(clock)
            clock(1.0)
    assert watch.seconds == {"failing": 8.0, "around": 1.0}


def test_classes_are_left_as_they_were():
    before = dict(vars(Thing))
    with Stopwatch() as watch:
        watch.wrap(Thing, "outer", "a")
        watch.wrap(Thing, "outer", "b")
        watch.wrap(Thing, "inherited", "c")
        watch.replace(Thing, "inner", lambda self: "other")
        assert Thing().inner() == "other" and Thing().inherited() == "base"
        assert watch.calls == {"c": 1}
    assert dict(vars(Thing)) == before
    assert Base().inherited() == "base" and watch.calls == {"c": 1}


def test_real_time():
    watch = Stopwatch()
    with watch.timing("sleep"):
        time.sleep(0.01)
    assert 0.01 <= watch.seconds["sleep"] < 1
