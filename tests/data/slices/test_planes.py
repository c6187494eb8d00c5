"""Slices that lie above one another, by the third coordinate of their cells."""

import numpy as np
import pytest

from stofm_pyg.data import SliceSettings, from_anndata, slices_from_anndata
from stofm_pyg.data.slices.reader import SliceReader

SETTINGS = SliceSettings(slice_key="z", virtual_cells=False, num_features=3)


@pytest.fixture
def stack(make_adata):
    adata = make_adata(60)
    del adata.obs["slice"]
    height = np.array([12.0, 2.0])[np.arange(60) % 2]
    adata.obsm["spatial"] = np.column_stack([adata.obsm["spatial"], height])
    return adata


def test_planes_are_slices(stack, tmp_path):
    stack.write_h5ad(tmp_path / "a.h5ad")
    for source in (stack, tmp_path / "a.h5ad"):
        low, high = slices_from_anndata(source, SETTINGS)
        assert (low.name, high.name) == ("2.0", "12.0")
        assert low.cell_id.tolist() == list(range(1, 60, 2)) and low.pos.shape == (30, 2)
        reader = SliceReader(source, SETTINGS)
        assert {name: len(rows) for name, rows in reader.rows.items()} == {"2.0": 30, "12.0": 30}
        one = from_anndata(reader.read("2.0"), SETTINGS)
        assert one.edge_index.equal(low.edge_index) and one.pos.equal(low.pos)
        flat = stack[low.cell_id.numpy()].copy()
        flat.obsm["spatial"] = flat.obsm["spatial"][:, :2]
        assert from_anndata(flat, SETTINGS).pos.equal(low.pos)
        assert list(SliceReader(source, SETTINGS, required=False).rows) == ["2.0", "12.0"]


def test_planes_that_would_become_one(stack):
    with pytest.raises(ValueError, match="differ in the third coordinate: 12 of cell 'cell0', 2 of "):
        from_anndata(stack, SETTINGS.replace(slice_key=None))
    stack.obs["slice"] = np.where(np.arange(60) % 2 == 0, "top", "low")
    names = [data.name for data in slices_from_anndata(stack, SETTINGS.replace(slice_key="slice"))]
    assert names == ["top", "low"]
    stack.obs["slice"] = "one"
    with pytest.raises(ValueError, match='Pass \'slice_key="z"\' for one slice per plane'):
        slices_from_anndata(stack, SETTINGS.replace(slice_key="slice"))
