"""Several slices of one AnnData."""

import anndata
import numpy as np
import pytest
import torch

from stofm_pyg.data import expression_pca, from_anndata, slices_from_anndata
from stofm_pyg.nn.node_type import NodeType


def cells(data):
    return data.node_type == NodeType.CELL


def test_every_cell_once_and_in_order(make_adata):
    adata = make_adata(num_slices=3)
    slices = slices_from_anndata(adata, labels="domain", num_features=5)
    assert [data.name for data in slices] == ["s0", "s1", "s2"]
    for data in slices:
        rows = np.flatnonzero(adata.obs["slice"] == data.name)
        assert data.cell_id[cells(data)].tolist() == rows.tolist()
        assert data.domain[cells(data)].tolist() == adata.obs["domain"].cat.codes.iloc[rows].tolist()
        assert data.classes == {"domain": ["L1", "L2/3", "WM"]}


def test_components_are_joint_and_centred_per_slice(make_adata):
    adata = make_adata(num_slices=2)
    codes = adata.obs["slice"].cat.codes.to_numpy()
    expected = expression_pca(adata.X, 5, batch=codes)
    for code, data in enumerate(slices_from_anndata(adata, num_features=5, virtual_cells=False)):
        assert np.array_equal(data.x.numpy(), expected[codes == code])
        assert data.x.mean(dim=0).abs().max() < 1e-5


def test_graph_of_a_slice_is_that_of_the_slice_alone(make_adata):
    adata = make_adata(num_slices=2)
    adata.obsm["X_own"] = np.random.default_rng(0).standard_normal((60, 3))
    for data in slices_from_anndata(adata, features="X_own", labels="domain"):
        alone = from_anndata(adata[adata.obs["slice"] == data.name].copy(), features="X_own")
        for key in ("x", "pos", "edge_index", "edge_attr", "cluster", "node_type"):
            assert torch.equal(data[key], alone[key]), key


def test_classes_are_shared_where_a_slice_lacks_one(make_adata):
    adata = make_adata(num_slices=2)
    adata.obs["kind"] = np.where(adata.obs["slice"] == "s0", "a", "b")
    first, second = slices_from_anndata(adata, labels="kind", virtual_cells=False)
    assert first.classes == second.classes == {"kind": ["a", "b"]}
    assert set(first.kind.tolist()) == {0} and set(second.kind.tolist()) == {1}
    first.classes["kind"].append("c")
    assert second.classes == {"kind": ["a", "b"]}


def test_given_classes_and_array_of_features(make_adata):
    adata = make_adata(num_slices=2)
    values = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
    classes = {"domain": ["WM", "L1", "L2/3"]}
    for data in slices_from_anndata(
        adata, features=values, labels=["domain"], classes=classes, virtual_cells=False
    ):
        rows = data.cell_id.numpy()
        assert np.array_equal(data.x.numpy(), values[rows])
        names = adata.obs["domain"].astype(object).to_numpy()[rows]
        assert [data.classes["domain"][code] for code in data.domain if code >= 0] == [
            name for name in names if isinstance(name, str)
        ]
        assert data.classes == classes


def test_backed_file(make_adata, same_data, tmp_path):
    adata = make_adata(num_slices=3)
    adata.write_h5ad(tmp_path / "slices.h5ad")
    expected = slices_from_anndata(adata, labels="domain", num_features=5)
    found = slices_from_anndata(tmp_path / "slices.h5ad", labels="domain", num_features=5)
    assert all(same_data(one, other) for one, other in zip(found, expected, strict=True))


def test_without_slice_key(make_adata, same_data):
    adata = make_adata()
    alone = from_anndata(adata, labels="domain")
    (data,) = slices_from_anndata(adata, slice_key=None, labels="domain")
    assert same_data(data, alone) and data.name == ""
    del adata.obs["slice"]
    (data,) = slices_from_anndata(adata, labels="domain")  # There is no column of the default name.
    assert data.name == "" and data.settings != alone.settings
    data.settings = alone.settings
    assert same_data(data, alone)


def test_joined_slices_are_warned_of_by_their_column(make_adata, caplog):
    adata = make_adata(num_slices=3)
    arguments = {"virtual_cells": False, "num_features": 5}
    slices_from_anndata(adata, slice_key=None, **arguments)
    assert caplog.text.count("'adata.obs['slice']' tells 3 slices apart") == 1
    caplog.clear()
    adata.obs = adata.obs.rename(columns={"slice": "section"})
    from_anndata(adata, **arguments)
    assert caplog.text == ""
    from_anndata(adata, slice_key="section", **arguments)
    assert caplog.text.count("'adata.obs['section']' tells 3 slices apart") == 1
    caplog.clear()
    from_anndata(adata[(adata.obs["section"] == "s1").to_numpy()], slice_key="section", **arguments)
    assert caplog.text == ""


def test_an_unknown_setting(make_adata):
    for convert in (from_anndata, slices_from_anndata):
        with pytest.raises(TypeError, match="no setting 'radus' of a slice; did you mean 'radius'"):
            convert(make_adata(), radus=3.0)


def test_unknown_slice_key(make_adata):
    with pytest.raises(ValueError, match="'slcie' .* holds 'slice', 'domain'. Did you mean 'slice'"):
        slices_from_anndata(make_adata(), slice_key="slcie")


def test_slice_of_one_cell_is_named(make_adata):
    adata = make_adata(num_slices=2)
    adata.obs["slice"] = ["lonely"] + ["rest"] * 59
    with pytest.raises(ValueError, match="Slice 'lonely' needs at least two cells .* has 1 cell"):
        slices_from_anndata(adata)


@pytest.mark.realdata
@pytest.mark.parametrize(
    "name, num_cells, num_classes", [("starmap_mpfc", 3190, 4), ("dlpfc_3slices_7k", 10691, 7)]
)
def test_real_slices(real_slices, name, num_cells, num_classes):
    path = real_slices / f"{name}.h5ad"
    obs = anndata.read_h5ad(path, backed="r").obs
    # The components of 7,000 genes take longer than the rest of the tests.
    features = np.random.default_rng(0).standard_normal((num_cells, 8))
    features = "pca" if name == "starmap_mpfc" else features
    slices = slices_from_anndata(path, labels="domain", features=features, virtual_cells=False)
    assert [data.name for data in slices] == list(obs["slice"].cat.categories)
    assert torch.cat([data.cell_id for data in slices]).sort()[0].tolist() == list(range(num_cells))
    for data in slices:
        assert data.classes == {"domain": list(obs["domain"].cat.categories)}
        assert len(data.classes["domain"]) == num_classes
        own = obs.iloc[data.cell_id.numpy()]
        assert set(own["slice"]) == {data.name}
        assert data.domain.tolist() == own["domain"].cat.codes.tolist()
        assert data.x.isfinite().all() and data.pos.isfinite().all() and data.num_edges > 0
