import importlib.util

import numpy as np
import pytest

from benchmarks.methods.novae import Novae
from tests.benchmarks.peer_case import PeerData


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "stofm-pyg\[novae\]"'):
        Novae("tiny")


def test_with_the_package():
    pytest.importorskip("novae", reason='pip install "stofm-pyg[novae]"')
    with pytest.raises(ValueError, match=r"20 genes or more .* \(got 12\)"):
        Novae("tiny", "cpu").embed(PeerData(), 0)
    data = PeerData((60, 50), num_genes=24)
    state = np.random.get_state()[1].copy()
    first, again = (Novae("tiny", "cpu").embed(data, 0) for _ in range(2))
    assert np.array_equal(np.random.get_state()[1], state)
    assert [len(x) for x in first] == [60, 50]
    for x, y in zip(first, again, strict=True):
        assert np.isfinite(x).all() and x.std() > 0
        np.testing.assert_array_equal(x, y)
    unseen = Novae("tiny", "cpu").embed(data, 0, without=1)
    assert [x.shape for x in unseen] == [x.shape for x in first]
