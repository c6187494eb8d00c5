import pytest
import torch
from torch_geometric.data import Batch

from stofm_pyg.transforms import AddCLS, AddVirtualCells, MaskCells


@pytest.fixture(scope="module")
def data(make_slice):
    return AddCLS()(AddVirtualCells(max_clusters=5)(make_slice(200)))


@pytest.mark.parametrize("rate, count", [(0.1, 20), (0.5, 100), (1.0, 200), (0.001, 1)])
def test_rate_and_targets(data, unchanged, rate, count):
    out = unchanged(MaskCells(rate, seed=0), data)
    assert out.mask.dtype == torch.bool and out.mask.shape == (data.num_nodes,)
    assert int(out.mask.sum()) == count
    assert not out.mask[data.node_type != 0].any()
    assert torch.equal(out.target, data.x[out.mask])
    # The model hides them, not the transform.
    assert torch.equal(out.x, data.x)


def test_targets_are_a_copy(data):
    out = MaskCells(seed=0)(data.clone())
    before = out.target.clone()
    out.x += 1
    assert torch.equal(out.target, before)


def test_seeds(data):
    first, second, other = MaskCells(seed=3), MaskCells(seed=3), MaskCells(seed=4)
    masks = [first(data).mask for _ in range(3)]
    assert all(torch.equal(mask, second(data).mask) for mask in masks)
    assert not torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], other(data).mask)


def test_a_seed_leaves_the_global_generator_alone(data):
    state = torch.get_rng_state()
    MaskCells(seed=0)(data)
    assert torch.equal(torch.get_rng_state(), state)


def test_without_a_seed_the_global_generator_decides(data):
    transform = MaskCells()
    state = torch.get_rng_state()
    first = transform(data).mask
    assert not torch.equal(transform(data).mask, first)
    torch.set_rng_state(state)
    assert torch.equal(transform(data).mask, first)


def test_batch(data):
    transform = MaskCells(seed=0)
    parts = [transform(data), transform(data)]
    batch = Batch.from_data_list(parts)
    assert torch.equal(batch.target, batch.x[batch.mask])
    assert batch.target.size(0) == 40


def test_bad_rate():
    with pytest.raises(ValueError, match=r"'rate' must lie in \(0, 1\] \(got 0.0\)"):
        MaskCells(0.0)


def test_repr():
    assert str(MaskCells()) == "MaskCells(rate=0.1)"
