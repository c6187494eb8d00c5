"""AnnData of any kind to slices and back: each row finds its own place again."""

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from stofm_pyg.data import SliceSettings, slices_from_anndata, to_anndata
from stofm_pyg.data.slices.reader import SliceReader, content_hash
from stofm_pyg.nn import NodeType
from tests.fuzz.profile import examples, refused, sentence
from tests.fuzz.strategies import adatas


def convert(adata, name, **changes):
    """The slices, or nothing where the refusal says why."""
    settings = SliceSettings(radius=3.0, num_features=4, **changes)
    try:
        return slices_from_anndata(adata, settings, labels="domain")
    except ValueError as error:
        sentence(error)
        refused[name] += 1
        smallest = adata.obs["slice"].astype(str).value_counts()
        # Of a slice in which cells lie at three places or more nothing is to be refused.
        assert adata.n_obs == 0 or smallest.min() < 5, error
        return None


@examples(0.2)
@given(adatas(), st.booleans())
def test_rows_come_back(given_, virtual):
    adata, shown = given_
    before = adata.copy()
    slices = convert(adata, "test_rows_come_back", virtual_cells=virtual)
    if slices is None:
        return
    assert sum(int((data.node_type == NodeType.CELL).sum()) for data in slices) == adata.n_obs
    parts, of_slice = [], adata.obs["slice"].astype(str).to_numpy()
    for data in slices:
        is_cell = data.node_type == NodeType.CELL
        rows = data.cell_id[is_cell].numpy()
        assert (of_slice[rows] == data.name).all() and (np.diff(rows) > 0).all()
        parts.append(data.cell_id[is_cell].float().unsqueeze(1))
        known = [data.classes["domain"][code] if code >= 0 else None for code in data.domain[is_cell]]
        assert known == [shown[row] for row in rows]
        # One unit for all distances.
        own, true = data.pos[is_cell].double(), torch.from_numpy(adata.obsm["spatial"][rows]).double()
        true, own = true - true[0], own - own[0]
        scale = float(true.norm()) / max(float(own.norm()), 1e-30)
        assert torch.allclose(scale * own, true, rtol=1e-3, atol=2e-3 * float(true.abs().max()))
        ends = data.edge_index
        assert is_cell[ends].all()
        length = (data.pos[ends[0]].double() - data.pos[ends[1]].double()).norm(dim=1)
        assert torch.allclose(length, data.edge_attr.view(-1).double(), rtol=1e-3, atol=1e-2)
    # Back by rows, and by names where the rows are others by then.
    to_anndata(slices, adata, embedding=parts)
    assert (adata.obsm["X_stofm"][:, 0] == np.arange(adata.n_obs)).all()
    order = np.random.default_rng(0).permutation(adata.n_obs)
    other = adata[order].copy()
    to_anndata(slices, other, embedding=parts)
    assert (other.obsm["X_stofm"][:, 0] == order).all()
    # Nothing else has changed.
    assert (adata.X != before.X).sum() == 0 and adata.obs.equals(before.obs)


@examples(0.12)
@given(adatas(min_cells=1))
def test_a_file_is_read_as_the_anndata_is(tmp_path_factory, given_):
    adata, _ = given_
    # What AnnData does not write itself.
    assume(adata.obs["domain"].dtype != object or adata.obs["domain"].notna().any())
    path = tmp_path_factory.mktemp("fuzz") / "a.h5ad"
    adata.write_h5ad(path)
    readers = SliceReader(adata), SliceReader(path)
    assert list(readers[0].rows) == list(readers[1].rows)
    for name, rows in readers[0].rows.items():
        assert (rows == readers[1].rows[name]).all()
        parts = [reader.read(name) for reader in readers]
        assert content_hash(parts[0]) == content_hash(parts[1])
        dense = adata.X.toarray() if hasattr(adata.X, "toarray") else np.asarray(adata.X)
        assert (parts[1].X.toarray() == dense[rows]).all()
    path.unlink()
