import dataclasses
import pickle

import numpy as np
import pytest

from stofm_pyg.data import GeneMapping


def make():
    return GeneMapping(
        columns=np.array([0, 2, 3]),
        gene=np.array([0, 1, 0]),
        token_ids=np.array([5, 9]),
        medians=np.array([1.0, 2.0]),
        num_genes=4,
        share_genes=0.75,
        share_counts=0.5,
        unmatched=["X"],
        naming="symbol",
        species="human",
        report="...",
    )


def test_repr():
    assert repr(make()) == ("GeneMapping(3 of 4 columns, 2 genes, naming='symbol', species='human')")


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().num_genes = 3


def test_pickles_for_workers():
    copy = pickle.loads(pickle.dumps(make()))
    assert copy.columns.tolist() == [0, 2, 3] and copy.unmatched == ["X"]
