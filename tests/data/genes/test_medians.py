import importlib
import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from stofm_pyg.data.genes.medians import non_zero_medians

module = importlib.import_module("stofm_pyg.data.genes.medians")


def make(counts, names=None, **columns):
    counts = np.asarray(counts, dtype=np.float32)
    names = [f"G{i}" for i in range(counts.shape[1])] if names is None else names
    return AnnData(sparse.csr_matrix(counts), var=pd.DataFrame(columns, index=names))


def expected_medians(slices):
    """By the definition, from dense counts; columns of one name are added up."""
    values = {}
    for adata in slices:
        counts = adata.X.toarray().astype(np.float64)
        total = counts.sum(axis=1)
        for name in set(adata.var_names):
            own = counts[:, adata.var_names == name].sum(axis=1)
            values.setdefault(name, []).extend(own[own > 0] / total[own > 0] * 10_000)
    return {name: np.median(found) for name, found in values.items() if found}


def test_by_hand():
    adata = make([[1, 0, 3], [1, 0, 1], [0, 0, 5], [0, 0, 0]])
    assert non_zero_medians([adata]) == {"G0": 3750.0, "G2": 7500.0}


def test_over_all_slices_with_other_genes(tmp_path):
    first = make([[1, 3], [2, 2]], ["A", "B"])
    second = make([[9, 1]], ["B", "C"])
    second.write_h5ad(tmp_path / "second.h5ad")
    found = non_zero_medians([first, tmp_path / "second.h5ad"])
    assert found == {"A": 3750.0, "B": 7500.0, "C": 1000.0}
    assert list(found) == ["A", "B", "C"]


def test_names_of_one_gene_add_up():
    names = ["ENSG00000141510.1", "ENSG00000141510.2", "X"]
    assert non_zero_medians([make([[1, 1, 2], [0, 3, 1]], names)]) == {
        "ENSG00000141510": 6250.0,
        "X": 3750.0,
    }


def test_names_of_a_column_and_genes_without_name():
    adata = make([[1, 1, 2]], gene_ids=["A", None, "B"])
    assert non_zero_medians([adata], gene_key="gene_ids") == {"A": 2500.0, "B": 5000.0}


def test_layer():
    adata = make([[1, 1]])
    adata.layers["raw"] = sparse.csr_matrix([[1.0, 3.0]])
    assert non_zero_medians([adata], layer="raw") == {"G0": 2500.0, "G1": 7500.0}


@given(
    seed=st.integers(0, 10_000),
    num_slices=st.integers(1, 3),
    scale=st.sampled_from([0.1, 1.0, 50.0]),
    duplicates=st.booleans(),
)
@settings(max_examples=30)
def test_agrees_with_numpy(seed, num_slices, scale, duplicates):
    rng = np.random.default_rng(seed)
    slices = []
    for _ in range(num_slices):
        num_cells, num_genes = rng.integers(1, 60), rng.integers(1, 9)
        counts = rng.poisson(rng.gamma(0.5, scale, num_genes), (num_cells, num_genes))
        names = [f"G{i}" for i in rng.choice(12, num_genes, replace=duplicates)]
        slices.append(make(counts, names))
    found, expected = non_zero_medians(slices), expected_medians(slices)
    assert found.keys() == expected.keys()
    np.testing.assert_array_max_ulp(
        np.array([found[name] for name in expected]), np.array(list(expected.values())), 2
    )


@pytest.mark.parametrize("num_bins", [1, 2, 100_000])
def test_bins_do_not_count(make_adata, monkeypatch, num_bins):
    adata = make_adata(num_cells=50, num_genes=8)
    expected = non_zero_medians([adata])
    monkeypatch.setattr(module, "NUM_BINS", num_bins)
    assert non_zero_medians([adata]) == expected


def test_values_outside_the_bins(monkeypatch):
    monkeypatch.setattr(module, "LOWEST", 100.0)
    monkeypatch.setattr(module, "HIGHEST", 200.0)
    adata = make([[1, 999], [500, 500], [3, 997]])
    assert non_zero_medians([adata]) == pytest.approx({"G0": 30.0, "G1": 9970.0})


def test_blocks_on_disk(make_adata, tmp_path, monkeypatch):
    adata = make_adata(num_cells=50)
    adata.write_h5ad(tmp_path / "slice.h5ad")
    blocks = importlib.import_module("stofm_pyg.data.slices.counts").count_blocks
    monkeypatch.setattr(module, "count_blocks", lambda adata, layer: blocks(adata, layer, rows=7))
    assert non_zero_medians([tmp_path / "slice.h5ad"]) == expected_medians([adata])


def test_normalised_counts_are_found_with_their_cell(make_adata, monkeypatch):
    adata = make_adata(num_cells=20)
    counts = adata.X.tolil()
    counts[17, 3] = 0.5
    adata.X = counts.tocsr()
    blocks = importlib.import_module("stofm_pyg.data.slices.counts").count_blocks
    monkeypatch.setattr(module, "count_blocks", lambda adata, layer: blocks(adata, layer, rows=8))
    with pytest.raises(ValueError, match=r"0.5 in cell 'cell17' \(number 17\) and gene 'Gene3'.*layer="):
        non_zero_medians([adata])


def test_slices_that_share_no_gene(caplog):
    with caplog.at_level(logging.WARNING):
        non_zero_medians([make([[1]], ["A"]), make([[1]], ["A"])])
    assert caplog.text == ""
    with caplog.at_level(logging.WARNING):
        non_zero_medians([make([[1]], ["A"]), make([[1]], ["A"]), make([[1]], ["ENSG1"])])
    assert "Slice 2 shares no gene with the others: its names are such as ['ENSG1']" in caplog.text
    assert caplog.text.count("shares no gene") == 1


def test_nothing():
    assert non_zero_medians([]) == {}
    assert non_zero_medians([make(np.zeros((3, 2)))]) == {}
    assert non_zero_medians([make(np.zeros((0, 2)))]) == {}
