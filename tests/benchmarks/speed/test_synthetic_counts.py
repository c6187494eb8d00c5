import importlib

import numpy as np
import pytest

from benchmarks.speed.synthetic_counts import synthetic_counts

module = importlib.import_module("benchmarks.speed.synthetic_counts")


def test_counts_with_the_mean_asked_for(monkeypatch):
    monkeypatch.setattr(module, "CELLS_PER_BLOCK", 300)
    counts = synthetic_counts(1000, 40, 10.0, seed=1)
    assert counts.shape == (1000, 40) and counts.dtype == np.float32
    assert counts.has_canonical_format
    assert counts.nnz / 1000 == pytest.approx(10, rel=0.05)
    assert counts.data.min() == 1 and np.array_equal(counts.data, np.rint(counts.data))
    per_gene = np.diff(counts.tocsc().indptr)
    assert per_gene[0] == 0 and per_gene[-1] > 400
    again = synthetic_counts(1000, 40, 10.0, seed=1)
    assert (counts != again).nnz == 0 and counts.nnz != synthetic_counts(1000, 40, 10.0, seed=2).nnz


def test_all_genes_and_none():
    assert synthetic_counts(7, 5, 5).nnz == 35
    assert synthetic_counts(7, 5, 0).nnz == 0
    with pytest.raises(ValueError, match="counts of 6 genes needs as many genes, got 5"):
        synthetic_counts(7, 5, 6)
