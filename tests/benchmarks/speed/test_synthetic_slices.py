import anndata
import numpy as np
import pytest

from benchmarks.speed.synthetic_slices import slice_sizes, write_slices


@pytest.mark.parametrize(
    ("cells", "largest", "expected"),
    [
        (2, 20_000, [1, 1]),
        (1000, 20_000, [500, 500]),
        (10_000, 20_000, [9000, 1000]),
        (50_000, 20_000, [16_333, 16_333, 16_334, 1000]),
        (50_000, None, [49_000, 1000]),
    ],
)
def test_sizes(cells, largest, expected):
    sizes = slice_sizes(cells, largest)
    assert sizes == expected and sum(sizes) == cells


@pytest.mark.parametrize(("cells", "largest"), [(1, 10), (100, 0)])
def test_too_few(cells, largest):
    with pytest.raises(ValueError, match="at least 2 cells"):
        slice_sizes(cells, largest)


def test_slices(tmp_path):
    files, vocab = write_slices(tmp_path / "a", [400, 100], num_genes=30, mean_detected=6, seed=3)
    assert [file.name for file in files] == ["slice-0000.h5ad", "slice-0001.h5ad"]
    first, second = map(anndata.read_h5ad, files)
    assert first.shape == (400, 30) and second.shape == (100, 30)
    assert 5 < first.X.nnz / 400 < 7
    assert len(vocab.map(first).columns) == 30
    for adata in (first, second):  # One cell per unit of area.
        pos, side = adata.obsm["spatial"], np.sqrt(adata.n_obs)
        assert pos.min() >= 0 and 0.95 * side < pos.max() < side
    assert not np.array_equal(first.X[:100].toarray(), second.X.toarray())
    again, _ = write_slices(tmp_path / "b", [400, 100], num_genes=30, mean_detected=6, seed=3)
    same = anndata.read_h5ad(again[0])
    assert np.array_equal(same.X.toarray(), first.X.toarray())
    assert np.array_equal(same.obsm["spatial"], first.obsm["spatial"])


def test_slices_that_are_there_stay(tmp_path):
    (tmp_path / "slice-0000.h5ad").write_text("mine")
    files, _ = write_slices(tmp_path, [10, 10], num_genes=5, mean_detected=2)
    assert files[0].read_text() == "mine" and files[1].stat().st_size > 1000
