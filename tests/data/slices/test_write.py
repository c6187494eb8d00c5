import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from stofm_pyg.data import Keys, from_anndata, slices_from_anndata, to_anndata
from stofm_pyg.data.slices.write import graph_matrices


def piece(cell_id, edges, lengths, unit="spacing"):
    return Data(
        cell_id=torch.tensor(cell_id),
        edge_index=torch.tensor(edges).t().reshape(2, -1),
        edge_attr=torch.tensor(lengths).view(-1, 1),
        unit=unit,
    )


def test_edges_are_at_the_rows_of_the_cells():
    first = piece([4, 0, -1], [[0, 1], [1, 0], [0, 2], [2, 0]], [2.5, 2.5, 1.0, 1.0])
    second = piece([1, 3], [[0, 1], [1, 0]], [0.0, 0.0])
    connectivities, distances, unit = graph_matrices([first, second], 5)
    expected = np.zeros((5, 5))
    expected[4, 0] = expected[0, 4] = expected[1, 3] = expected[3, 1] = 1
    assert np.array_equal(connectivities.toarray(), expected)
    assert distances.nnz == 4  # Coincident cells keep their edge.
    assert distances[4, 0] == distances[0, 4] == 2.5 and distances[1, 3] == 0.0
    assert connectivities.dtype == distances.dtype == np.float64
    assert connectivities.format == distances.format == "csr"
    assert np.array_equal(connectivities.indices, distances.indices)
    assert unit == "spacing"


def test_direction():
    connectivities, _, _ = graph_matrices([piece([2, 0], [[0, 1]], [1.0])], 3)
    assert connectivities[2, 0] == 1 and connectivities[0, 2] == 0


def test_no_edges():
    data = piece([0, 1], torch.empty(0, 2).long().tolist(), [])
    data.edge_index = data.edge_index.long()
    connectivities, distances, _ = graph_matrices([data], 4)
    assert connectivities.shape == distances.shape == (4, 4) and distances.nnz == 0


def test_errors():
    data = piece([0, 1], [[0, 1]], [1.0])
    with pytest.raises(ValueError, match=r"different units: \['micron', 'spacing'\]"):
        graph_matrices([data, piece([2, 3], [[0, 1]], [1.0], unit="micron")], 4)
    del data.edge_attr
    with pytest.raises(ValueError, match="no 'edge_index' and 'edge_attr'.*SpatialRadiusGraph"):
        graph_matrices([data], 4)


SMALL = {"num_features": 4, "max_clusters": 3, "labels": "domain"}


def embeddings(slices, channels=3, nodes=False):
    """Rows that tell from which cell they come."""
    out = []
    for data in slices:
        z = data.cell_id.float().view(-1, 1) + torch.arange(channels) / 10
        out.append(z if nodes else z[data.node_type == 0])
    return out


@given(seed=st.integers(0, 1000), num_slices=st.integers(1, 3), nodes=st.booleans())
@settings(max_examples=15)
def test_round_trip(make_adata, seed, num_slices, nodes):
    adata = make_adata(45, 12, num_slices, seed)
    slices = slices_from_anndata(adata, **SMALL)
    prediction = [data.domain if nodes else data.domain[data.node_type == 0] for data in slices]
    out = to_anndata(
        slices, adata, embedding=embeddings(slices, nodes=nodes), prediction=prediction, graph=True
    )
    assert out is adata

    expected = np.arange(45, dtype=np.float32)[:, None] + np.arange(3, dtype=np.float32) / 10
    assert np.array_equal(adata.obsm[Keys.EMBEDDING], expected)
    assert adata.obsm[Keys.EMBEDDING].dtype == np.float32
    pd.testing.assert_series_equal(adata.obs[Keys.PREDICTION], adata.obs["domain"], check_names=False)

    connectivities, distances = adata.obsp[Keys.CONNECTIVITIES], adata.obsp[Keys.DISTANCES]
    row, col = connectivities.nonzero()
    assert (adata.obs["slice"].to_numpy()[row] == adata.obs["slice"].to_numpy()[col]).all()
    assert connectivities.nnz == distances.nnz == sum(data.num_edges for data in slices)
    assert abs(distances - distances.T).max() == 0
    for data in slices:
        ends = data.cell_id[data.edge_index].numpy()
        found = np.asarray(distances[ends[0], ends[1]]).reshape(-1)
        assert np.array_equal(found, data.edge_attr.view(-1).double().numpy())


def test_only_what_is_asked_for_changes(make_adata):
    adata = make_adata()
    data = from_anndata(adata, **SMALL)
    before = adata.copy()

    def changed():
        return [
            set(getattr(adata, name)) - set(getattr(before, name))
            for name in ("obs", "obsm", "obsp", "uns", "layers", "var", "varm")
        ]

    assert to_anndata(data, adata) is adata and not any(changed())
    to_anndata(data, adata, embedding=data.x, embedding_key="X_new")
    assert changed() == [set(), {"X_new"}, set(), set(), set(), set(), set()]
    to_anndata(data, adata, prediction=data.domain, prediction_key="found")
    assert changed() == [{"found"}, {"X_new"}, set(), set(), set(), set(), set()]
    to_anndata(data, adata, graph=True, graph_key="near")
    assert changed()[2:] == (
        [{"near_connectivities", "near_distances"}, {"near_neighbors"}, set(), set(), set()]
    )
    assert (adata.X != before.X).nnz == 0
    pd.testing.assert_frame_equal(adata.obs[list(before.obs)], before.obs)
    assert np.array_equal(adata.obsm["spatial"], before.obsm["spatial"])


def test_cells_of_other_slices_are_unknown(make_adata):
    adata = make_adata(num_slices=2)
    first, second = slices_from_anndata(adata, **SMALL)
    (z,) = embeddings([second])
    to_anndata(second, adata, embedding=z, prediction=second.domain, graph=True)
    other = (adata.obs["slice"] == "s0").to_numpy()
    assert np.isnan(adata.obsm["X_stofm"][other]).all()
    assert np.isfinite(adata.obsm["X_stofm"][~other]).all()
    assert adata.obs["stofm_prediction"][other].isna().all()
    assert adata.obsp["spatial_connectivities"][other].nnz == 0
    assert adata.obsp["spatial_connectivities"].nnz == second.num_edges


def test_survives_a_file(make_adata, tmp_path):
    adata = make_adata(num_slices=2)
    slices = slices_from_anndata(adata, **SMALL)
    prediction = [data.domain for data in slices]
    to_anndata(slices, adata, embedding=embeddings(slices), prediction=prediction, graph=True)
    adata.write_h5ad(tmp_path / "out.h5ad")
    read = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert read.uns["spatial_neighbors"] == {
        "connectivities_key": "spatial_connectivities",
        "distances_key": "spatial_distances",
        "params": {"coord_type": "generic", "transform": "none", "unit": "spacing"},
    }
    assert np.array_equal(read.obsm["X_stofm"], adata.obsm["X_stofm"])
    assert (read.obsp["spatial_distances"] != adata.obsp["spatial_distances"]).nnz == 0
    pd.testing.assert_series_equal(read.obs["stofm_prediction"], adata.obs["stofm_prediction"])


def test_embedding_may_need_gradients_and_be_of_half_precision(make_adata):
    adata = make_adata()
    data = from_anndata(adata, **SMALL)
    z = torch.ones(60, 2, dtype=torch.bfloat16, requires_grad=True)
    to_anndata(data, adata, embedding=z)
    assert adata.obsm["X_stofm"].dtype == np.float32 and (adata.obsm["X_stofm"] == 1).all()


def test_view_becomes_an_anndata_of_its_own(make_adata):
    adata = make_adata(num_slices=2)
    view = adata[adata.obs["slice"] == "s1"]
    data = from_anndata(view, **SMALL)
    to_anndata(data, view, embedding=data.x, prediction=data.domain, graph=True)
    assert not view.is_view and np.array_equal(view.obsm["X_stofm"], data.x[: view.n_obs].numpy())
    assert "X_stofm" not in adata.obsm and "stofm_prediction" not in adata.obs


def test_backed(make_adata, tmp_path):
    make_adata().write_h5ad(tmp_path / "a.h5ad")
    before = (tmp_path / "a.h5ad").read_bytes()
    backed = anndata.read_h5ad(tmp_path / "a.h5ad", backed="r")
    data = from_anndata(backed, **SMALL)
    to_anndata(data, backed, embedding=data.x)
    assert backed.obsm["X_stofm"].shape == (60, 4) and backed.isbacked
    with pytest.raises(ValueError, match=r"view of the backed file .*adata.to_memory\(\)"):
        to_anndata(data, backed[np.arange(60)], embedding=data.x)
    backed.file.close()
    assert (tmp_path / "a.h5ad").read_bytes() == before


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"embedding": torch.ones(59, 2)}, r"'embedding' has shape \[59, 2\] .* 60 cells"),
        ({"embedding": torch.ones(60)}, r"must have shape \[N, C\]"),
        ({"embedding": torch.tensor(1.0)}, r"'embedding' has shape \[\]"),
        ({"prediction": torch.zeros(61).long()}, r"'prediction' has shape \[61\]"),
        ({"prediction": torch.zeros(60, 3)}, "argmax"),
        ({"prediction": torch.full((60,), 3)}, "holds class 3, but there are 3 classes"),
        ({"prediction": torch.zeros(60).long(), "label": "type"}, "'type' is not in"),
    ],
)
def test_an_error_leaves_the_anndata_as_it_was(make_adata, arguments, match):
    adata = make_adata()
    data = from_anndata(adata, labels="domain", virtual_cells=False, num_features=4)
    arguments = {"embedding": torch.ones(60, 2), "graph": True, **arguments}
    with pytest.raises(ValueError, match=match):
        to_anndata(data, adata, **arguments)
    assert list(adata.obs) == ["slice", "domain"]
    assert list(adata.obsm) == ["spatial"] and not adata.obsp and not adata.uns


def test_lists(make_adata):
    adata = make_adata(num_slices=2)
    slices = slices_from_anndata(adata, **SMALL)
    z = embeddings(slices)
    with pytest.raises(ValueError, match="list of 2 tensors as 'embedding', .* got one Tensor"):
        to_anndata(slices, adata, embedding=torch.cat(z))
    with pytest.raises(ValueError, match="list of 2 tensors as 'embedding', .* got 1"):
        to_anndata(slices, adata, embedding=z[:1])
    with pytest.raises(ValueError, match=r"one C for all slices"):
        to_anndata(slices, adata, embedding=[z[0], z[1][:, :1]])
    with pytest.raises(ValueError, match="'data' is an empty list"):
        to_anndata([], adata, embedding=[])
    to_anndata(slices[0], adata, embedding=z[:1])  # A list of one for one slice.
    assert np.nanmax(adata.obsm["X_stofm"]) == z[0].max()


def test_wrong_anndata(make_adata):
    adata = make_adata(num_slices=2)
    first, second = slices_from_anndata(adata, **SMALL)
    with pytest.raises(ValueError, match="but the AnnData has 10 cells. Pass the AnnData that"):
        to_anndata(first, adata[:10].copy(), graph=True)
    row = int(second.cell_id[0])
    with pytest.raises(ValueError, match=f"Cell {row} is in the slices 2 times. Give every slice"):
        to_anndata([second, second], adata, graph=True)
    with pytest.raises(TypeError, match="got str. Open a file with 'anndata.read_h5ad'"):
        to_anndata(first, "slices.h5ad", graph=True)
    with pytest.raises(TypeError, match="got a Batch. Pass 'batch.to_data_list"):
        to_anndata(Batch.from_data_list([first, second]), adata, graph=True)


def shuffled(adata, seed=0):
    return adata[np.random.default_rng(seed).permutation(adata.n_obs)].copy()


def test_results_go_to_the_cells_of_their_names(make_adata, caplog):
    adata = make_adata(num_slices=2)
    slices = slices_from_anndata(adata, **SMALL)
    z = [torch.randn(data.num_nodes, 3) for data in slices]
    codes = [torch.randint(-1, 3, (data.num_nodes,)) for data in slices]
    results = {"embedding": z, "prediction": codes, "graph": True}
    to_anndata(slices, adata, **results)
    caplog.set_level("INFO")
    # In another order; and with more cells, of which some are before the slices'.
    more = anndata.concat([make_adata(20, seed=1), shuffled(make_adata(num_slices=2), 1)])
    more.obs_names = [f"new{i}" for i in range(20)] + more.obs_names[20:].tolist()
    for other in (shuffled(make_adata(num_slices=2)), more):
        caplog.clear()
        before = [data.cell_id.clone() for data in slices]
        to_anndata(slices, other, **results)
        rows = other.obs_names.get_indexer(adata.obs_names)
        assert np.array_equal(other.obsm["X_stofm"][rows], adata.obsm["X_stofm"])
        predicted = other.obs["stofm_prediction"].iloc[rows].tolist()
        assert predicted == adata.obs["stofm_prediction"].tolist()
        for key in ("spatial_connectivities", "spatial_distances"):
            assert (other.obsp[key].tocsr()[rows][:, rows] != adata.obsp[key]).nnz == 0
        assert "are found by their names" in caplog.text
        assert all(map(torch.equal, before, [data.cell_id for data in slices]))


def test_a_slice_finds_its_cells_among_those_that_are_left(make_adata):
    adata = make_adata(num_slices=2)
    slices = slices_from_anndata(adata, **SMALL)
    left = adata[adata.obs["slice"] == slices[0].name].copy()
    z = torch.randn(slices[0].num_nodes, 3)
    to_anndata(slices[0], left, embedding=z)
    assert np.array_equal(left.obsm["X_stofm"], z[: left.n_obs].numpy())
    with pytest.raises(ValueError, match="has 'cell_id'"):
        to_anndata(slices[1], left, embedding=torch.randn(slices[1].num_nodes, 3))


def test_cells_of_other_names_are_refused(make_adata):
    adata = make_adata()
    data = from_anndata(adata, **SMALL)
    z = torch.randn(data.num_nodes, 3)
    other = adata.copy()
    other.obs_names = ["other", *adata.obs_names[1:]]
    with pytest.raises(ValueError) as error:
        to_anndata(data, other, embedding=z)
    assert str(error.value) == (
        "A slice is not of this AnnData, or that has changed: row 0, one of 1 that differ, is 'other' "
        "by now, and 1 of its 60 cells are not in it by name. Pass the AnnData that the slices were "
        "made from."
    )
    other.obs_names = ["cell1", *adata.obs_names[1:]]
    with pytest.raises(ValueError, match="row 0.* is 'cell1' by now, and its names are not unique"):
        to_anndata(data, other, embedding=z)
    # Names that are there several times, in the order in which the slice was made.
    to_anndata(from_anndata(other, **SMALL), other, embedding=z)
    del data.cell_hash
    to_anndata(data, other, embedding=z)  # By the rows alone, as nothing else is known.


@pytest.mark.parametrize("name, values", [
    ("embedding", pd.DataFrame(np.zeros((60, 2)))), ("prediction", pd.Series(np.zeros(60, dtype=int)))
])
def test_values_with_names_of_their_own_are_refused(make_adata, name, values):
    adata = make_adata()
    with pytest.raises(ValueError, match=f"'{name}' is a .*, with names of its own.*to_numpy"):
        to_anndata(from_anndata(adata, **SMALL), adata, **{name: values})


def test_an_edge_that_is_there_twice_counts_once():
    once = piece([0, 1, 2], [[0, 1], [1, 0], [1, 2], [2, 1]], [1.5, 1.5, 2.0, 2.0])
    twice = once.clone()
    twice.edge_index = torch.cat([once.edge_index, once.edge_index[:, :3]], dim=1)
    twice.edge_attr = torch.cat([once.edge_attr, once.edge_attr[:3]])
    for one, other in zip(graph_matrices([once], 4)[:2], graph_matrices([twice], 4)[:2], strict=True):
        assert np.array_equal(one.toarray(), other.toarray())


@pytest.mark.parametrize(("cell_id", "got"), [(None, "none"), (torch.arange(60.0), "torch.float32")])
def test_a_slice_without_rows_is_refused(make_adata, cell_id, got):
    data = Data(x=torch.ones(60, 3))
    if cell_id is not None:
        data.cell_id = cell_id
    adata = make_adata()
    with pytest.raises(ValueError, match=rf"A slice needs 'cell_id', .* \(got {got}\)"):
        to_anndata(data, adata, embedding=data.x)
    assert "X_stofm" not in adata.obsm
