import numpy as np
import pytest

from stofm_pyg.train.finetuning import channels as module
from stofm_pyg.train.finetuning.channels import choose_channels, regions_of


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    y, groups = rng.integers(0, 3, 300), np.repeat(np.arange(6), 50)
    x = rng.normal(size=(300, 6))
    x[:, 4] += 3 * y  # Holds in all groups.
    x[:, 0] += 20 * groups + 5 * y * (groups % 2 == 0) - 5 * y * (groups % 2)  # In each another way.
    return x, y, groups


CHOICES = {"first": np.array([0, 1]), "both": np.arange(6), "second": np.array([4, 5])}


def test_what_holds_on_other_groups(case):
    assert choose_channels(CHOICES, *case) == "second"
    assert choose_channels({k: CHOICES[k] for k in ("second", "first", "both")}, *case) == "second"


def test_the_first_one_unless_another_is_clearly_better(case):
    x, y, groups = case
    choices = {"first": np.array([4]), "other": np.array([4, 1])}
    assert choose_channels(choices, x, y, groups) == "first"


def test_some_of_many_cells(case, monkeypatch):
    monkeypatch.setattr(module, "MAX_CELLS", 120)
    seen = []
    score = module._score
    monkeypatch.setattr(
        module, "_score", lambda x, y, train, test: seen.append(len(y)) or score(x, y, train, test)
    )
    assert choose_channels(CHOICES, *case) != "first" and set(seen) == {120}


def test_nothing_to_choose_by(case):
    x, y, groups = case
    assert choose_channels(CHOICES, x, y, np.zeros(300)) == "first"  # One group.
    assert choose_channels({"first": CHOICES["first"]}, x, y, groups) == "first"
    # Each group has a class of its own, so that none is left to learn it from.
    assert choose_channels(CHOICES, x, (groups > 2).astype(int)[:], (groups > 2).astype(int)) == "first"


def test_regions():
    pos = np.concatenate([np.random.default_rng(i).normal(100 * i, 1, (10, 2)) for i in range(20)])
    regions = regions_of(pos)
    assert [len(set(part)) for part in regions.reshape(20, 10)] == [1] * 20
    assert len(set(regions)) == 20
    assert set(regions_of(np.zeros((5, 2)))) == {0}
