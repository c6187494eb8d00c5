import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import Compose

from stofm_pyg.transforms import (
    AddCLS,
    AddVirtualCells,
    ConnectVirtualCells,
    PerturbPositions,
    SpatialRadiusGraph,
)
from stofm_pyg.transforms.perturb_positions import mean_spacing


@pytest.fixture(scope="module")
def data(make_slice):
    """Cells, virtual cells and CLS with all their edges."""
    data = SpatialRadiusGraph(1.5)(make_slice(200, dtype=torch.float32))
    return ConnectVirtualCells()(AddCLS()(AddVirtualCells(max_clusters=5)(data)))


def moved_cells(out, data):
    return (out.pos != data.pos).any(dim=1)


@pytest.mark.parametrize("rate, count", [(0.1, 20), (0.5, 100), (1.0, 200), (0.001, 1)])
def test_rate(data, unchanged, rate, count):
    out = unchanged(PerturbPositions(rate, seed=0), data)
    moved = moved_cells(out, data)
    assert int(moved.sum()) == count
    assert not moved[data.node_type != 0].any()
    assert out.pos.dtype == torch.float32


@pytest.mark.parametrize("rate", [0.1, 1.0])
def test_pairs_are_the_true_edges_of_moved_cells(data, rate):
    out = PerturbPositions(rate, seed=0)(data)
    moved = moved_cells(out, data)
    edges = zip(data.edge_index.t().tolist(), data.edge_attr.view(-1).tolist(), strict=True)
    expected = {
        (i, j): length
        for (i, j), length in edges
        if (moved[i] or moved[j]) and data.node_type[i] == 0 and data.node_type[j] == 0
    }
    pairs = list(map(tuple, out.pair_index.t().tolist()))
    assert len(pairs) == len(expected) > 10
    assert dict(zip(pairs, out.pair_distance.tolist(), strict=True)) == expected
    source, target = out.pair_index
    true = (data.pos[source] - data.pos[target]).norm(dim=1)
    assert torch.allclose(out.pair_distance, true, rtol=1e-5)


def test_pairs_outlive_the_rebuilt_graph(data):
    true = PerturbPositions(seed=0)(data)
    rebuilt = Compose(
        [PerturbPositions(seed=0), SpatialRadiusGraph(1.5), ConnectVirtualCells()]
    )(data)
    assert torch.equal(rebuilt.pos, true.pos)
    assert torch.equal(rebuilt.pair_index, true.pair_index)
    assert torch.equal(rebuilt.pair_distance, true.pair_distance)
    # The graph is that of the moved cells, whose distances give nothing away.
    assert not torch.equal(rebuilt.edge_index, data.edge_index)
    source, target = rebuilt.pair_index
    now = (rebuilt.pos[source] - rebuilt.pos[target]).norm(dim=1)
    assert float((now - rebuilt.pair_distance).abs().min()) > 0
    assert float((now - rebuilt.pair_distance).abs().median()) > 1.0


def test_batching_shifts_pairs(data, make_slice):
    transform = PerturbPositions(seed=0)
    other = AddVirtualCells(max_clusters=2)(SpatialRadiusGraph(2.0)(make_slice(50)))
    first, second = transform(data), transform(other)
    batch = Batch.from_data_list([first, second])
    expected = [first.pair_index, second.pair_index + data.num_nodes]
    assert torch.equal(batch.pair_index, torch.cat(expected, dim=1))
    assert torch.equal(
        batch.pair_distance, torch.cat([first.pair_distance, second.pair_distance])
    )
    assert torch.equal(batch.batch[batch.pair_index[0]], batch.batch[batch.pair_index[1]])


@pytest.mark.parametrize("sigma", [0.5, 5.0])
def test_size_of_the_noise(make_slice, sigma):
    data = SpatialRadiusGraph(1.0)(make_slice(3000))
    data.pos = 7.0 * data.pos
    noise = PerturbPositions(1.0, sigma, seed=0)(data).pos - data.pos
    # The cells fill a square with a spacing of 7, for which the ellipse says 2.3 % more.
    expected = sigma * 7.0 * math.sqrt(math.pi / 3)
    assert noise.mean(dim=0).abs().max() < 0.1 * expected
    assert torch.allclose(noise.std(dim=0), noise.new_tensor(expected), rtol=0.06)


def test_noise_does_not_depend_on_how_the_slice_is_turned(data, turn):
    flat = data.clone()
    flat.pos = data.pos.double()
    turned = flat.clone()
    turned.pos = turn(flat.pos, 33.0) + 100.0
    noise = PerturbPositions(seed=0)(flat).pos - flat.pos
    assert torch.allclose(PerturbPositions(seed=0)(turned).pos - turned.pos, noise)


def test_noise_is_measured_by_cells_alone(data):
    cells = data.subgraph(data.node_type == 0)
    expected = PerturbPositions(seed=0)(cells).pos
    far = data.clone()
    far.pos[data.node_type != 0] += 1e4
    assert torch.equal(PerturbPositions(seed=0)(far).pos[:200], expected)


def test_seeds(data):
    first, second, other = (PerturbPositions(seed=seed) for seed in (3, 3, 4))
    one, two = first(data).pos, first(data).pos
    assert torch.equal(second(data).pos, one) and torch.equal(second(data).pos, two)
    assert not torch.equal(one, two) and not torch.equal(other(data).pos, one)


def test_a_seed_leaves_the_global_generator_alone(data):
    state = torch.get_rng_state()
    PerturbPositions(seed=0)(data)
    assert torch.equal(torch.get_rng_state(), state)


def test_no_edges(make_slice):
    out = PerturbPositions(seed=0)(SpatialRadiusGraph(1e-6)(make_slice(20)))
    assert out.pair_index.shape == (2, 0) and out.pair_distance.shape == (0,)


def test_needs_a_graph(make_slice):
    with pytest.raises(ValueError, match="SpatialRadiusGraph"):
        PerturbPositions(seed=0)(make_slice(20))


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"'rate' must lie in \(0, 1\] \(got 1.5\)"):
        PerturbPositions(1.5)
    for sigma in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=rf"'sigma' must be .* \(got {sigma}\)"):
            PerturbPositions(sigma=sigma)


def test_repr():
    assert str(PerturbPositions()) == "PerturbPositions(rate=0.1, sigma=5.0)"


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(3, 100), st.floats(0, 360), st.floats(0.01, 100))
def test_mean_spacing_is_invariant(make_slice, turn, seed, num_cells, degrees, size):
    pos = make_slice(num_cells, seed=seed).pos
    spacing = mean_spacing(pos)
    moved = turn(pos * torch.tensor([-1.0, 1.0]), degrees) * size + 50.0
    assert mean_spacing(moved) == pytest.approx(spacing * size, rel=1e-6)


def test_mean_spacing_of_a_lattice(lattice):
    # Exact for an ellipse; a rectangle has sqrt(pi / 3), 2.3 %, more.
    pos = lattice(81, 81) - 40.0
    inside = (pos[:, 0] / 40.3) ** 2 + (pos[:, 1] / 20.3) ** 2 <= 1
    assert mean_spacing(3.0 * pos[inside]) == pytest.approx(3.0, rel=0.01)
    for rows, columns in ((50, 50), (20, 90)):
        spacing = mean_spacing(3.0 * lattice(rows, columns))
        assert spacing == pytest.approx(3.0 * math.sqrt(math.pi / 3), rel=0.005)


@pytest.mark.parametrize("num_cells", [0, 1, 2])
def test_mean_spacing_of_too_few_cells(num_cells):
    assert mean_spacing(torch.rand(num_cells, 2)) == 1.0


@pytest.mark.parametrize("number, spacing", [(10, 1.0), (200, 3.0)])
def test_mean_spacing_of_a_line(turn, number, spacing):
    line = torch.stack([torch.arange(float(number)) * spacing, torch.zeros(number)], dim=1).double()
    assert mean_spacing(turn(line, 27.0)) == pytest.approx(spacing, rel=2 / number)
    jitter = torch.randn(line.shape, generator=torch.Generator().manual_seed(0)) * 1e-3 * spacing
    assert mean_spacing(turn(line + jitter, 27.0)) == pytest.approx(spacing, rel=2 / number)


def test_cells_on_a_line_are_moved():
    line = torch.stack([torch.arange(50.0), torch.zeros(50)], dim=1)
    data = SpatialRadiusGraph(3.0)(Data(x=torch.zeros(50, 1), pos=line))
    moved = PerturbPositions(rate=1.0, sigma=2.0, seed=0)(data).pos - line
    assert moved.std(dim=0).tolist() == pytest.approx([2.0, 2.0], rel=0.4)


@pytest.mark.parametrize("far", [1e3, 1e6])
def test_a_stray_does_not_move_the_others_far(make_slice, far):
    pos = make_slice(300).pos
    stray = torch.cat([pos, torch.tensor([[far, -far]], dtype=torch.float64)])
    assert mean_spacing(stray) == pytest.approx(mean_spacing(pos), rel=1e-9)
