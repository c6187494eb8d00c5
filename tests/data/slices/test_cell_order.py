"""What is made of a slice does not depend on where in a file its cells are."""

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from torch_geometric.data import Data

from stofm_pyg.data import SliceSettings, from_anndata, slices_from_anndata
from stofm_pyg.data.slices.cell_order import name_order, permute_nodes, sort_cells
from stofm_pyg.data.slices.names import name_hashes
from stofm_pyg.data.slices.reader import SliceReader
from stofm_pyg.datasets import generate_tissue

ORDER = torch.tensor([2, 0, 1, 3])


def make_data():
    return Data(
        x=torch.arange(8.0).view(4, 2),
        node_type=torch.tensor([0, 0, 0, 2], dtype=torch.uint8),
        edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]),
        edge_attr=torch.tensor([[5.0], [5.0], [7.0], [7.0]]),
        classes={"domain": ["a"]},
        name="left",
    )


def lattice(side=18, seed=0):
    """Cells on a lattice, of which many are equally far from another."""
    rng = np.random.default_rng(seed)
    adata = AnnData(rng.poisson(3.0, (side * side, 30)).astype(np.float32))
    adata.obs_names = [f"cell {i}" for i in range(side * side)]
    adata.obsm["spatial"] = np.stack(np.divmod(np.arange(side * side), side), axis=1).astype(float)
    return adata


def test_order_follows_from_names_alone():
    names = pd.Index([f"cell {i}" for i in range(200)])
    order = name_order(names)
    assert sorted(order) == list(range(200)) and (order != np.arange(200)).sum() > 190
    other = np.random.default_rng(0).permutation(200)
    assert (names[order] == names[other][name_order(names[other])]).all()


def test_equal_names_stay_as_they_are():
    order = name_order(pd.Index(["b", "a", "b", "a"]))
    assert [i for i in order if i in (0, 2)] == [0, 2] and [i for i in order if i in (1, 3)] == [1, 3]


def test_nodes_move_with_their_edges():
    data = make_data()
    moved = permute_nodes(data, ORDER)
    assert moved.x[:, 0].tolist() == [4, 0, 2, 6] and moved.node_type.tolist() == [0, 0, 0, 2]
    assert moved.edge_index.tolist() == [[0, 1, 2, 2], [2, 2, 0, 1]]
    assert moved.edge_attr.view(-1).tolist() == [7, 5, 7, 5]
    assert moved.classes == {"domain": ["a"]} and moved.name == "left"
    assert data.x[:, 0].tolist() == [0, 2, 4, 6] and data.edge_index[0].tolist() == [0, 1, 1, 2]
    assert permute_nodes(data, torch.arange(4)) is data


def test_cells_are_sorted_and_others_follow():
    data = make_data()
    assert sort_cells(data) is data
    data.cell_hash = torch.tensor([7, 9, 3, -1])
    data = sort_cells(data)
    assert data.cell_hash.tolist() == [3, 7, 9, -1]
    assert data.x[:, 0].tolist() == [4, 0, 2, 6]


@pytest.mark.parametrize("max_neighbors", [None, 5])
def test_slices_of_another_order_are_the_same(max_neighbors):
    adata = lattice()
    order = np.random.default_rng(1).permutation(adata.n_obs)
    settings = SliceSettings(radius=2.0, max_neighbors=max_neighbors, num_features=4)
    one, other = from_anndata(adata, settings), from_anndata(adata[order].copy(), settings)
    rows = torch.from_numpy(order)
    count = adata.n_obs
    assert torch.equal(one.cluster[:count][rows], other.cluster[:count])
    assert one.num_nodes == other.num_nodes > count
    assert torch.allclose(one.x[count:], other.x[count:], atol=1e-5)
    assert torch.equal(other.cell_id[:count], torch.arange(count))
    edges = {(int(order[a]), int(order[b])) for a, b in other.edge_index.t().tolist()}
    assert edges == {(a, b) for a, b in one.edge_index.t().tolist()}


def test_cells_keep_their_order():
    tissue = generate_tissue(2, 120, num_genes=20)
    tissue = tissue[np.random.default_rng(0).permutation(240)].copy()
    for data in slices_from_anndata(tissue):
        cells = data.cell_id[data.cell_id >= 0]
        assert (cells.diff() > 0).all()
        hashes = name_hashes(tissue.obs_names[cells.numpy()])
        assert data.cell_hash[: cells.numel()].tolist() == hashes.tolist()
        row, col = data.edge_index
        assert ((row * data.num_nodes + col).diff() > 0).all()


def test_reader_says_the_row_of_each(tmp_path):
    tissue = generate_tissue(2, 120, num_genes=20)
    tissue.write_h5ad(tmp_path / "tissue.h5ad")
    for source in (tissue, tmp_path / "tissue.h5ad"):
        reader = SliceReader(source)
        for name in reader.rows:
            adata, rows = reader.read_by_name(name)
            assert adata.obs_names.tolist() == tissue.obs_names[rows].tolist()
            assert (adata.X.toarray() == tissue.X.toarray()[rows]).all()
            assert sorted(rows) == reader.rows[name].tolist()
            assert (np.diff(name_hashes(adata.obs_names)) > 0).all()
