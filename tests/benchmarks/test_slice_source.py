import anndata
import numpy as np
import pytest
import torch

from benchmarks.presets import Preset
from benchmarks.slice_source import SliceSource
from stofm_pyg.datasets import H5adSlices, SyntheticTissue
from stofm_pyg.datasets.generate_tissue import generate_tissue
from stofm_pyg.nn import NodeType

PRESET = Preset(num_slices=2, cells_per_slice=120)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two h5ad files, of two slices and of one without a column that says so."""
    folder = tmp_path_factory.mktemp("files")
    adata = generate_tissue(num_slices=3, cells_per_slice=120, num_genes=40, seed=1)
    adata[:240].copy().write_h5ad(folder / "a.h5ad")
    one = adata[240:].copy()
    del one.obs["slice"]
    one.write_h5ad(folder / "b.h5ad")
    return [str(folder / "a.h5ad"), str(folder / "b.h5ad")]


def rows_as_features(source):
    """Features that say which row of which file a cell is."""
    sizes = [a.n_obs if isinstance(a, anndata.AnnData) else 240 - 120 * i
             for i, a in enumerate(source.counts)]  # fmt: skip
    return [np.stack([np.full(n, i), np.arange(n)], axis=1) for i, n in enumerate(sizes)]


def check_same_cells(source, slices, again):
    files = [str(file) for file in source.files or [""]]
    assert len(slices) == len(again)
    for data, other in zip(slices, again, strict=True):
        cells, rows = (d.node_type == NodeType.CELL for d in (data, other))
        assert torch.equal(data.pos[cells], other.pos[rows])
        assert torch.equal(data.cell_id[cells], other.cell_id[rows])
        assert torch.equal(data.edge_index, other.edge_index)
        assert torch.equal(other.x[rows][:, 1].long(), other.cell_id[rows])
        number = files.index(data.file) if source.files else 0
        assert (other.x[rows][:, 0] == number).all()
        assert (other.node_type == NodeType.VIRTUAL).any()


def test_files(files):
    source = SliceSource(files, "slice", PRESET, 6.0, 0)
    slices = source.with_pca("domain")
    want = list(H5adSlices(files, labels="domain", radius=6.0, seed=0))
    assert all(torch.equal(a.x, b.x) for a, b in zip(slices, want, strict=True))
    check_same_cells(source, slices, source.with_features(rows_as_features(source)))


def test_generated_tissue():
    source = SliceSource(None, "slice", PRESET, 6.0, 3)
    slices = source.with_pca("domain")
    want = SyntheticTissue(
        num_slices=2, cells_per_slice=120, radius=6.0, seed=3, labels=("domain",)
    )
    assert all(torch.equal(a.x, b.x) for a, b in zip(slices, want, strict=True))
    [adata] = source.counts
    assert (adata.X != want.adata.X).nnz == 0
    check_same_cells(source, slices, source.with_features(rows_as_features(source)))


def test_counts_of_generated_tissue_without_slices():
    [adata] = SliceSource(None, "slice", PRESET, 6.0, 3).counts
    want = generate_tissue(num_slices=2, cells_per_slice=120, seed=3)
    assert (adata.X != want.X).nnz == 0
