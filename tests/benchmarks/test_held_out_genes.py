import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.data import BenchmarkData
from benchmarks.held_out_genes import choose_genes, hold_out_genes
from stofm_pyg.data import SliceSettings
from stofm_pyg.datasets import generate_tissue


def make_cells(seed=0, **changes):
    adata = generate_tissue(2, 60, 30, 0, num_domains=3, num_cell_types=3, seed=1)
    # What could tell of all genes: an embedding, a layer, and raw counts.
    adata.obsm["X_all"] = adata.X.toarray()
    adata.layers["counts"] = adata.X.copy()
    adata.raw = adata.copy()
    plain = SliceSettings(radius=2.5, max_clusters=4, num_features=5, seed=seed)
    return BenchmarkData([adata], None, plain.replace(**changes)), adata


@settings(max_examples=50)
@given(st.integers(4, 300), st.floats(0.01, 0.5), st.integers(0, 2**32 - 1))
def test_genes_are_kept_or_held_out(number, share, seed):
    genes = [f"g{i}" for i in range(number)]
    kept, held = choose_genes(genes, share, seed)
    assert np.intersect1d(kept, held).size == 0
    assert sorted([*kept, *held]) == list(range(number))
    assert len(held) == max(1, round(share * number))
    assert (np.diff(kept) > 0).all() and (np.diff(held) > 0).all()
    again = choose_genes(genes, share, seed)
    assert (again[0] == kept).all() and (again[1] == held).all()


def test_of_very_many_genes_a_thousand_are_held_out(caplog):
    kept, held = choose_genes([str(i) for i in range(8000)], 0.2, 0)
    assert len(held) == 1000 and len(kept) == 7000
    assert "1000 genes are held out, not 1600" in caplog.text


@settings(max_examples=3)
@given(st.floats(0.05, 0.8), st.integers(0, 1000))
def test_nothing_of_a_held_out_gene_is_in_the_input(share, seed):
    cells, adata = make_cells(seed)
    held_out = hold_out_genes(cells, share)
    assert held_out.genes
    for source in held_out.data.sources:
        assert not set(source.var_names) & set(held_out.genes)
        assert set(source.var_names) | set(held_out.genes) == set(adata.var_names)
        assert set(source.obsm) == {"spatial"} and set(source.obs) == {"slice", "scored"}
        assert not source.layers and source.raw is None and not source.uns and not source.obsp
    assert held_out.data.counts()[1] == [g for g in adata.var_names if g not in held_out.genes]


def test_the_input_does_not_depend_on_what_held_out_genes_express():
    cells, adata = make_cells()
    held_out = hold_out_genes(cells, 0.3)
    other = adata.copy()
    dense = other.X.toarray()
    columns = adata.var_names.get_indexer(held_out.genes)
    dense[:, columns] = np.random.default_rng(0).poisson(20, size=(adata.n_obs, len(columns)))
    other.X = type(adata.X)(dense.astype(np.float32))
    changed = hold_out_genes(BenchmarkData([other], None, cells.settings), 0.3)
    assert changed.genes == held_out.genes
    assert changed.data.hashes() == held_out.data.hashes()
    assert not np.allclose(changed.truth[0], held_out.truth[0])
    for a, b in zip(changed.data.components(), held_out.data.components(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_truth_is_log_normalised_over_all_genes_and_rows_stay_in_order():
    cells, adata = make_cells()
    held_out = hold_out_genes(cells, 0.3)
    counts = adata.X.toarray().astype(float)
    totals = counts.sum(axis=1)
    want = np.log1p(counts / np.maximum(totals, 1)[:, None] * np.median(totals[totals > 0]))
    want = want[:, adata.var_names.get_indexer(held_out.genes)]
    np.testing.assert_allclose(np.concatenate(held_out.truth), want, atol=1e-5)
    kept = adata[:, ~adata.var_names.isin(held_out.genes)].X.toarray()
    found = np.concatenate([source.X.toarray() for source in held_out.data.sources])
    np.testing.assert_array_equal(found, kept)
    names = [item.name for item in held_out.data.slices]
    assert names == ["slice0", "slice1"]
    for item, rows in zip(held_out.data.slices, held_out.data.rows, strict=True):
        assert rows[1].tolist() == list(range(60)) and (item.scored[item.cell_id >= 0] == 0).all()


def test_folds_divide_all_cells():
    held_out = hold_out_genes(make_cells()[0], 0.3)
    for fold in held_out.folds("cross", 0):
        assert fold.test.tolist() == list(range(60)) and list(fold.train) == [1 - fold.slice]
    tested = [(fold.slice, row) for fold in held_out.folds("blocks", 0) for row in fold.test]
    assert sorted(tested) == [(i, row) for i in (0, 1) for row in range(60)]


def test_shares_that_leave_nothing_are_refused():
    for share in (0.0, 1.0, -0.2, 1.5):
        with pytest.raises(ValueError, match="must lie between 0 and 1"):
            choose_genes(["a", "b", "c"], share, 0)
    with pytest.raises(ValueError, match="--genes 0.9 leaves 1 of 10 genes"):
        choose_genes(list("abcdefghij"), 0.9, 0)
