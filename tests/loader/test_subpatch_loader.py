import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch
from torch_geometric.transforms import Compose

from stofm_pyg.loader import SpatialClusterData, SubpatchLoader
from stofm_pyg.loader.subpatch_loader import LikeSizeSampler
from stofm_pyg.transforms import ConnectVirtualCells, MaskCells

many_sizes = st.lists(st.integers(1, 50), min_size=1, max_size=40).map(torch.tensor)


def padding(batches, sizes):
    """Places that dense attention leaves empty."""
    return sum(int((sizes[batch].max() - sizes[batch]).sum()) for batch in batches)


@settings(max_examples=50)
@given(many_sizes, st.integers(1, 12), st.booleans(), st.integers(0, 100))
def test_every_subpatch_comes_once(sizes, batch_size, shuffle, seed):
    sampler = LikeSizeSampler(sizes, batch_size, shuffle, seed)
    for _ in range(2):
        batches = list(sampler)
        assert len(batches) == len(sampler)
        assert sorted(i for batch in batches for i in batch) == list(range(len(sizes)))
        assert all(type(i) is int for batch in batches for i in batch)
        # All are full but one, which holds the largest.
        lengths = sorted(len(batch) for batch in batches)
        assert lengths[1:] == [batch_size] * (len(batches) - 1) and 1 <= lengths[0] <= batch_size


@settings(max_examples=50)
@given(many_sizes, st.integers(1, 12), st.booleans(), st.integers(0, 100))
def test_like_sizes_come_together(sizes, batch_size, shuffle, seed):
    batches = list(LikeSizeSampler(sizes, batch_size, shuffle, seed))
    ranges = sorted((int(sizes[batch].min()), int(sizes[batch].max())) for batch in batches)
    assert all(before[1] <= after[0] for before, after in zip(ranges, ranges[1:], strict=False))


@settings(max_examples=50)
@given(st.integers(1, 12), st.integers(1, 8), st.booleans(), st.integers(0, 100))
def test_no_full_batches_have_less_padding(batch_size, num_batches, shuffle, seed):
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, 50, (batch_size * num_batches,), generator=generator)
    found = padding(list(LikeSizeSampler(sizes, batch_size, shuffle, seed)), sizes)
    for _ in range(20):
        random = torch.randperm(sizes.numel(), generator=generator).split(batch_size)
        assert found <= padding(random, sizes)


def test_batches_by_hand():
    sizes = torch.tensor([5, 1, 9, 2, 5])
    assert list(LikeSizeSampler(sizes, 2)) == [[1, 3], [0, 4], [2]]
    assert len(LikeSizeSampler(sizes, 2)) == 3
    assert list(LikeSizeSampler(sizes, 2)) == list(LikeSizeSampler(sizes, 2, seed=5))


def test_shuffles_are_decided_by_the_seed():
    sizes = torch.arange(30) // 3
    first, second, other = (LikeSizeSampler(sizes, 4, True, seed) for seed in (1, 1, 2))
    state = torch.get_rng_state()
    passes = [list(first) for _ in range(3)]
    assert torch.equal(torch.get_rng_state(), state)
    assert passes[0] != passes[1] != passes[2]
    assert passes == [list(second) for _ in range(3)]
    assert passes[0] != list(other)


def test_batches_come_in_random_order():
    sizes = torch.arange(40)
    sampler, plain = LikeSizeSampler(sizes, 4, shuffle=True), list(LikeSizeSampler(sizes, 4))
    for _ in range(3):
        batches = list(sampler)
        assert batches != plain and sorted(batches) == plain


def test_subpatches_of_equal_size_change_company():
    sampler = LikeSizeSampler(torch.full((8,), 7), 2, shuffle=True)
    companies = {frozenset(batch) for _ in range(10) for batch in sampler}
    assert len(companies) > 4


def test_no_subpatch():
    sampler = LikeSizeSampler(torch.tensor([], dtype=torch.long), 4)
    assert len(sampler) == 0


@pytest.fixture(scope="module")
def slices(make_slice):
    out = []
    for i, num_cells in enumerate((150, 260, 90)):
        data = make_slice(num_cells, max_clusters=2 + i, seed=i)
        data.slice = torch.full((data.num_nodes,), i)
        out.append(SpatialClusterData(data, 40 + 10 * i))
    return out


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_every_cell_of_every_slice_comes_once(slices, batch_size, shuffle):
    loader = SubpatchLoader(slices, batch_size, shuffle=shuffle)
    num_parts = sum(len(parts) for parts in slices)
    assert len(loader) == -(-num_parts // batch_size)
    seen = []
    for batch in loader:
        assert isinstance(batch, Batch) and 1 <= batch.num_graphs <= batch_size
        is_cell = batch.node_type == 0
        seen += zip(batch.slice[is_cell].tolist(), batch.cell_id[is_cell].tolist(), strict=True)
    assert sorted(seen) == [(i, j) for i, n in enumerate((150, 260, 90)) for j in range(n)]


def test_batch_vector(slices):
    for batch in SubpatchLoader(slices, 4, shuffle=True):
        sizes = batch.ptr.diff()
        assert torch.equal(
            batch.batch, torch.repeat_interleave(torch.arange(batch.num_graphs), sizes)
        )
        # No edge and no slice crosses subpatches, and each is one of the slice's.
        assert torch.equal(batch.batch[batch.edge_index[0]], batch.batch[batch.edge_index[1]])
        for i, data in enumerate(batch.to_data_list()):
            assert data.slice.unique().numel() == 1
            part = next(
                part
                for part in slices[int(data.slice[0])]
                if part.num_nodes == data.num_nodes and torch.equal(part.cell_id, data.cell_id)
            )
            assert torch.equal(part.edge_index, data.edge_index)
            assert torch.equal(part.x, batch.x[batch.batch == i])


def test_padding_is_that_of_the_sampler(slices):
    sizes = torch.cat([parts.sizes for parts in slices])
    found = [batch.ptr.diff().tolist() for batch in SubpatchLoader(slices, 3)]
    assert found == [sizes[batch].tolist() for batch in LikeSizeSampler(sizes, 3)]


def test_one_slice(slices):
    found = [batch.cell_id.tolist() for batch in SubpatchLoader(slices[0])]
    assert sorted(found) == sorted(part.cell_id.tolist() for part in slices[0])


def test_shuffle_is_decided_by_the_seed(slices):
    def order(loader):
        return [batch.cell_id.tolist() for batch in loader]

    loader = SubpatchLoader(slices, 2, shuffle=True, seed=1)
    first, second = order(loader), order(loader)
    assert first != second
    again = SubpatchLoader(slices, 2, shuffle=True, seed=1)
    assert order(again) == first and order(again) == second
    assert order(SubpatchLoader(slices, 2, shuffle=True, seed=2)) != first


def test_arguments_of_the_data_loader(slices):
    loader = SubpatchLoader(slices, 2, follow_batch=["cell_id"], exclude_keys=["cluster"])
    batch = next(iter(loader))
    assert torch.equal(batch.cell_id_batch, batch.batch)
    assert "cluster" not in batch


def test_bad_arguments(slices):
    with pytest.raises(ValueError, match=r"'batch_size' must be at least 1 \(got 0\)"):
        SubpatchLoader(slices, 0)
    with pytest.raises(ValueError, match="No slices to load"):
        SubpatchLoader([])


def masked(data, seed, num_workers, passes, anew=False):
    """The cells that a seeded transform masks in each subpatch, by pass."""
    transform = Compose([ConnectVirtualCells(), MaskCells(0.3, seed=seed)])
    parts = SpatialClusterData(data, 40, transform=transform)
    loader = SubpatchLoader(parts, num_workers=num_workers)
    out = []
    for _ in range(passes):
        loader = SubpatchLoader(parts, num_workers=num_workers) if anew else loader
        out.append([tuple(batch.cell_id[batch.mask].tolist()) for batch in loader])
    return out


@pytest.mark.parametrize("anew", [False, True], ids=["one loader", "a loader for each pass"])
def test_seeded_transforms_draw_by_subpatch_and_pass(make_slice, anew):
    data = make_slice(120, max_clusters=2)
    plain, workers = (masked(data, 0, num, 3, anew) for num in (0, 2))
    assert plain == workers == masked(data, 0, 0, 3, not anew)
    assert all(one != two for one, two in zip(plain, plain[1:], strict=False))
    assert masked(data, 1, 0, 1)[0] != plain[0]


def test_what_is_not_partitioned_is_refused(make_slice):
    with pytest.raises(TypeError, match="Expected 'SpatialClusterData', got Data; partition each"):
        SubpatchLoader([make_slice()])


def test_slices_of_different_features_are_refused(make_slice):
    one, other = make_slice(), make_slice()
    other.x = other.x[:, :2]
    parts = [SpatialClusterData(data, 30) for data in (one, other)]
    with pytest.raises(ValueError, match=rf"The slices have 2 and {one.x.size(1)} features"):
        SubpatchLoader(parts)
