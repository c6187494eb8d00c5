import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from benchmarks.splits import cell_labels, make_folds
from stofm_pyg.transforms import SpatialRadiusGraph


def make_slice(num_cells, seed, num_virtual=2, unknown=()):
    generator = torch.Generator().manual_seed(seed)
    num_nodes = num_cells + num_virtual
    node_type = torch.zeros(num_nodes, dtype=torch.uint8)
    node_type[num_cells:] = 2
    label = torch.randint(0, 3, (num_nodes,), generator=generator)
    label[num_cells:] = -1
    label[list(unknown)] = -1
    pos = torch.rand(num_nodes, 2, generator=generator) * num_cells**0.5
    data = Data(x=torch.zeros(num_nodes, 1), pos=pos, node_type=node_type, domain=label)
    data.name = f"slice{seed}"
    return SpatialRadiusGraph(2.0)(data)


def test_cell_labels_leaves_virtual_cells_out():
    data = make_slice(10, seed=0)
    assert cell_labels(data, "domain").tolist() == data.domain[:10].tolist()


def test_cross_trains_on_all_other_slices():
    slices = [make_slice(20, seed=0, unknown=[3]), make_slice(30, seed=1), make_slice(25, seed=2)]
    folds = make_folds("cross", slices, "domain", seed=0)
    assert [fold.slice for fold in folds] == [0, 1, 2]
    assert sorted(folds[1].train) == [0, 2]
    assert folds[0].test.tolist() == [i for i in range(20) if i != 3]
    assert folds[1].train[0].tolist() == [i for i in range(20) if i != 3]


def test_cross_passes_over_a_slice_without_labels():
    slices = [make_slice(20, seed=0), make_slice(30, seed=1), make_slice(9, 2, unknown=range(9))]
    folds = make_folds("cross", slices, "domain", seed=0)
    assert [fold.slice for fold in folds] == [0, 1]
    assert all(2 not in fold.train for fold in folds)


def test_cross_of_one_slice_is_an_error_that_names_the_mend():
    with pytest.raises(ValueError, match=r"at least two slices.*got 1.*--split blocks"):
        make_folds("cross", [make_slice(20, seed=0)], "domain", seed=0)


def test_within_is_a_random_8_to_2_split_of_each_slice():
    slices = [make_slice(100, seed=0), make_slice(50, seed=1)]
    folds = make_folds("within", slices, "domain", seed=0)
    assert [fold.test.size for fold in folds] == [20, 10]
    for fold, size in zip(folds, (100, 50), strict=True):
        rows = np.concatenate([fold.train[fold.slice], fold.test])
        assert sorted(rows.tolist()) == list(range(size))
    again = make_folds("within", slices, "domain", seed=0)
    other = make_folds("within", slices, "domain", seed=1)
    assert (folds[0].test == again[0].test).all()
    assert (folds[0].test != other[0].test).any()


def test_blocks_hold_out_every_cell_once_and_their_neighbours_with_it():
    data = make_slice(400, seed=0)
    folds = make_folds("blocks", [data], "domain", seed=0)
    assert len(folds) == 5
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(400))
    for fold in folds:
        assert not set(fold.test) & set(fold.train[0])

    def share_of_neighbours_in_training(folds):
        source, target = data.edge_index.numpy()
        share = []
        for fold in folds:
            from_test = np.isin(source, fold.test)
            share.append(np.isin(target[from_test], fold.train[0]).mean())
        return np.mean(share)

    random_folds = make_folds("within", [data], "domain", seed=0)
    assert share_of_neighbours_in_training(folds) < 0.4
    assert share_of_neighbours_in_training(random_folds) > 0.7


@pytest.mark.parametrize("num_cells", [5, 7, 24, 30, 36, 40])
def test_blocks_of_a_tiny_slice(num_cells):
    # All cells are neighbours, so that METIS makes one part.
    data = SpatialRadiusGraph(100.0)(make_slice(num_cells, seed=0))
    for seed in range(3):
        folds = make_folds("blocks", [data], "domain", seed=seed)
        sizes = [fold.test.size for fold in folds]
        assert len(folds) == 5 and max(sizes) <= min(sizes) + 1
        assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(num_cells))
        for fold in folds:
            both = np.concatenate([fold.train[0], fold.test])
            assert sorted(both.tolist()) == list(range(num_cells))
    # Contiguous: along a line, each fold is a stretch of it.
    data.pos[:num_cells] = torch.arange(float(num_cells)).unsqueeze(1) * torch.tensor([[1.0, 2.0]])
    for fold in make_folds("blocks", [SpatialRadiusGraph(1e3)(data)], "domain", seed=0):
        assert (np.diff(fold.test) == 1).all()


@pytest.mark.parametrize("split", ["within", "blocks"])
def test_a_slice_without_cells_to_train_on_is_named(split):
    slices = [make_slice(200, seed=0), make_slice(30, seed=1, unknown=range(1, 30))]
    with pytest.raises(ValueError) as error:
        make_folds(split, slices, "domain", seed=0)
    assert str(error.value) == (
        f"--split {split} leaves no cell to train on in slice 'slice1', which has 1 cells with 'domain' "
        f"labels, all in one part; leave it out, or use --split cross"
    )
    assert len(make_folds("cross", slices, "domain", seed=0)) == 2


def test_an_unknown_split_lists_the_known():
    with pytest.raises(ValueError, match="Unknown split 'random'; known: within, blocks, cross"):
        make_folds("random", [make_slice(20, 0)], "domain", seed=0)
