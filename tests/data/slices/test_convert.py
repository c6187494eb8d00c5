import logging

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from stofm_pyg.data import (
    SliceSettings,
    expression_pca,
    from_anndata,
    slices_from_anndata,
    to_anndata,
)
from stofm_pyg.nn.node_type import NodeType


def rotate(pos, degrees):
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return pos @ turn.T


def edge_set(data, node=lambda index: index):
    """The edges and lengths of a slice with its nodes renamed, in an order of their own."""
    ends = node(data.edge_index)
    order = (ends[0] * data.num_nodes + ends[1]).argsort()
    return ends[:, order], data.edge_attr[order]


def test_contract(make_adata):
    adata = make_adata()
    data = from_anndata(adata, labels="domain", num_features=6, max_clusters=4)
    is_cell = data.node_type == NodeType.CELL
    assert int(is_cell.sum()) == 60 and is_cell[:60].all()
    assert (data.node_type[60:] == NodeType.VIRTUAL).all()
    assert 1 <= data.num_nodes - 60 <= 4
    assert data.cell_id.tolist() == list(range(60)) + [-1] * (data.num_nodes - 60)
    assert np.array_equal(data.x[:60].numpy(), expression_pca(adata.X, 6))
    assert data.domain[:60].tolist() == adata.obs["domain"].cat.codes.tolist()
    assert (data.domain[60:] == -1).all()
    assert data.classes == {"domain": ["L1", "L2/3", "WM"]}
    assert data.cluster[60:].tolist() == list(range(data.num_nodes - 60))
    assert (data.name, data.unit) == ("", "spacing")

    dtypes = {"x": torch.float32, "pos": torch.float32, "node_type": torch.uint8}
    dtypes |= {"edge_attr": torch.float32}
    for key, value in data.items():
        if isinstance(value, torch.Tensor):
            assert value.dtype == dtypes.get(key, torch.int64), key

    # Symmetric, without self-loops, no virtual cell, no edge longer than the radius.
    source, target = data.edge_index
    assert (source != target).all() and int(data.edge_index.max()) < 60
    assert torch.equal(edge_set(data)[0], edge_set(data, lambda index: index.flip(0))[0])
    assert 0 < float(data.edge_attr.min()) and float(data.edge_attr.max()) <= 8.0
    distance = (data.pos[source] - data.pos[target]).norm(dim=1)
    assert torch.allclose(distance, data.edge_attr.view(-1), atol=1e-5)


def test_a_slice_carries_its_settings(make_adata):
    settings = SliceSettings(radius=2.5, max_clusters=4, num_features=3)
    data = from_anndata(make_adata(), settings, alpha=0.5)
    assert SliceSettings.from_json(data.settings) == settings.replace(alpha=0.5, slice_key=None)
    assert data.num_features == 3 and float(data.edge_attr.max()) <= 2.5
    (data,) = slices_from_anndata(make_adata(), settings)
    assert SliceSettings.from_json(data.settings) == settings


def test_adata_is_not_changed(make_adata):
    adata = make_adata()
    before = adata.copy()
    from_anndata(adata, labels="domain")
    assert (adata.X != before.X).nnz == 0
    assert np.array_equal(adata.obsm["spatial"], before.obsm["spatial"])
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert list(adata.uns) == list(adata.layers) == list(adata.obsp) == []
    assert list(adata.obsm) == ["spatial"]


@pytest.mark.parametrize(
    "kind", ["csr", "csc", "dense", "layer", "view", "path", "backed", "backed view"]
)
@given(seed=st.integers(0, 100), dtype=st.sampled_from([np.float32, np.float64, np.int32]))
@settings(max_examples=4)
def test_every_kind_of_input_gives_the_same_slice(
    make_adata, same_data, tmp_path_factory, kind, seed, dtype
):
    adata = make_adata(40, 12, seed=seed)
    # Views drop unused categories, as AnnData does.
    adata.obs["domain"] = adata.obs["domain"].cat.remove_unused_categories()
    arguments = {"labels": "domain", "num_features": 5, "max_clusters": 3}
    expected = from_anndata(adata, **arguments)

    source = adata.copy()
    source.X = source.X.astype(dtype)
    if kind == "csc":
        source.X = sparse.csc_matrix(source.X)
    elif kind == "dense":
        source.X = source.X.toarray()
    elif kind == "layer":
        source.layers["counts"] = source.X
        source.X = np.full(source.shape, 0.5)
        arguments["layer"] = "counts"
        expected.settings = SliceSettings.from_json(expected.settings).replace(layer="counts").to_json()
    elif kind == "view":
        more = anndata.concat([source, source[:7]], index_unique="-")
        more.obs_names = [*adata.obs_names, *"abcdefg"]
        more.obs["domain"] = pd.Categorical(more.obs["domain"], adata.obs["domain"].cat.categories)
        source = more[:40]
        assert source.is_view
    elif kind != "csr":
        path = tmp_path_factory.mktemp("kinds") / "slice.h5ad"
        source.write_h5ad(path)
        source = path if kind == "path" else anndata.read_h5ad(path, backed="r")
        if kind == "backed view":
            source = source[np.arange(40)]
    data = from_anndata(source, **arguments)
    assert same_data(data, expected)

    if kind in ("path", "backed view"):
        source = anndata.read_h5ad(path)
    z = torch.randn(40, 3, generator=torch.Generator().manual_seed(seed))
    written = to_anndata(data, source, embedding=z, prediction=data.domain, graph=True)
    assert np.array_equal(written.obsm["X_stofm"], z.numpy())
    found, domain = written.obs["stofm_prediction"], adata.obs["domain"]
    assert found.cat.codes.tolist() == domain.cat.codes.tolist()
    assert found.cat.categories.equals(domain.cat.categories)
    again = from_anndata(written, **arguments)
    assert same_data(again, expected)


@given(seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_order_of_cells(make_adata, seed):
    adata = make_adata(40, 12, seed=seed)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
    arguments = {"labels": "domain", "num_features": 4, "virtual_cells": False, "radius": 2.0}
    data = from_anndata(adata, **arguments)
    permuted = from_anndata(adata[order.numpy()].copy(), **arguments, classes=data.classes)
    assert torch.equal(permuted.domain, data.domain[order])
    assert torch.allclose(permuted.x, data.x[order], atol=1e-4)
    assert torch.allclose(permuted.pos, data.pos[order], atol=1e-5)
    ends, lengths = edge_set(permuted, lambda index: order[index])
    expected_ends, expected_lengths = edge_set(data)
    assert torch.equal(ends, expected_ends)
    assert torch.allclose(lengths, expected_lengths, atol=1e-6)


@given(
    seed=st.integers(0, 1000),
    degrees=st.floats(0, 360),
    shift=st.tuples(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5)),
    mirror=st.booleans(),
    scale=st.sampled_from([1.0, 0.3, 17.0]),
)
@settings(max_examples=25)
def test_turned_moved_mirrored_and_scaled(make_adata, seed, degrees, shift, mirror, scale):
    adata = make_adata(40, 12, seed=seed)
    data = from_anndata(adata, num_features=4, radius=1.5)
    pos = rotate(adata.obsm["spatial"], degrees) * (1, -1 if mirror else 1) * scale + shift
    adata.obsm["spatial"] = pos
    turned = from_anndata(adata, num_features=4, radius=1.5)
    assert torch.equal(turned.edge_index, data.edge_index)
    assert torch.allclose(turned.edge_attr, data.edge_attr, rtol=0, atol=1e-6)
    assert torch.equal(turned.cluster, data.cluster)
    assert torch.equal(turned.x, data.x)


def test_lattice_keeps_its_edges_when_turned(make_adata):
    # Many distances lie exactly on the radius.
    adata = make_adata(100)
    lattice = np.stack(np.divmod(np.arange(100), 10), axis=1) * 100.0
    graphs = []
    for degrees in (0, 17, 45, 90, 133.7):
        adata.obsm["spatial"] = rotate(lattice, degrees) + 1e4
        graphs.append(from_anndata(adata, radius=3.0, virtual_cells=False).edge_index)
    assert all(torch.equal(graph, graphs[0]) for graph in graphs[1:])
    # A cell in the middle has the 28 lattice points of a disc of radius 3 around it.
    assert int((graphs[0][0] == 44).sum()) == 28


def test_duplicate_cells(make_adata):
    adata = make_adata()
    twice = anndata.concat([adata, adata[:5], adata[:5]], index_unique="-")
    data = from_anndata(twice, radius=1.5)
    assert data.cell_id[:70].tolist() == list(range(70))
    edges = map(tuple, data.edge_index.t().tolist())
    joined = dict(zip(edges, data.edge_attr.view(-1).tolist(), strict=True))
    for cell in range(5):
        assert joined[cell, 60 + cell] == joined[60 + cell, 65 + cell] == 0.0
    assert torch.equal(data.x[:5], data.x[60:65]) and data.pos.isfinite().all()


def test_features_of_ones_own(make_adata):
    adata = make_adata()
    values = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    adata.obsm["X_own"] = values.numpy()
    adata.X = adata.X * -0.5  # Counts do not matter then.
    for features in ("X_own", values, values.numpy()):
        data = from_anndata(adata, features=features, virtual_cells=False)
        assert torch.equal(data.x, values)


def test_several_slices_are_warned_of(make_adata, caplog):
    with caplog.at_level(logging.WARNING):
        from_anndata(make_adata(num_slices=1), virtual_cells=False, num_features=5)
        assert "tells" not in caplog.text
        from_anndata(make_adata(num_slices=3), virtual_cells=False, num_features=5)
    assert "'adata.obs['slice']' tells 3 slices apart" in caplog.text


def test_one_class_is_a_label(make_adata):
    adata = make_adata()
    adata.obs["same"] = "tissue"
    data = from_anndata(adata, labels="same", virtual_cells=False)
    assert data.same.tolist() == [0] * 60 and data.classes == {"same": ["tissue"]}


@pytest.mark.parametrize("num_cells, where", [(0, "0 cells"), (1, "it has 1 cell, at")])
def test_too_few_cells(make_adata, num_cells, where):
    with pytest.raises(ValueError, match=where):
        from_anndata(make_adata()[:num_cells])


def test_all_positions_equal(make_adata):
    adata = make_adata()
    adata.obsm["spatial"][:] = 3.0
    with pytest.raises(ValueError, match=r"different positions, it has 60 cells, at \[3.0, 3.0\]"):
        from_anndata(adata)


def test_two_cells_work(make_adata):
    data = from_anndata(make_adata()[:2].copy(), radius=1.0)
    assert data.edge_index.tolist() == [[0, 1], [1, 0]]
    assert torch.allclose(data.edge_attr, torch.ones(2, 1))


@pytest.mark.parametrize("arguments", [{"unit": "pixel"}, {"radius": -1.0}, {"max_clusters": 0}])
def test_settings_of_the_transforms_are_checked(make_adata, arguments):
    with pytest.raises(ValueError, match=str(next(iter(arguments.values())))):
        from_anndata(make_adata(), **arguments)


@pytest.mark.realdata
@pytest.mark.parametrize("degrees", [30, 45, 271.3])
def test_starmap_turned_has_the_same_graph(real_slices, degrees):
    adata = anndata.read_h5ad(real_slices / "starmap_mpfc.h5ad")
    adata = adata[adata.obs["slice"] == "20180419_BZ9_control"].copy()
    data = from_anndata(adata, labels="domain")
    adata.obsm["spatial"] = rotate(adata.obsm["spatial"], degrees)
    turned = from_anndata(adata, labels="domain")
    assert torch.equal(turned.edge_index, data.edge_index)
    assert torch.allclose(turned.edge_attr, data.edge_attr, rtol=0, atol=1e-6)
    assert torch.equal(turned.cluster, data.cluster)
