import pytest
import torch
from torch_geometric.data import Data

from stofm_pyg.nn import PairRepresentation, SliceEncoderOutput
from stofm_pyg.train import PairwiseDistanceRecovery
from tests.golden_case import CASES, GoldenCase, largest_error, load_head, run_encoder
from tests.nn.attention_case import FAST, Memory, cut_blocks, use_plain_flex_attention


@pytest.fixture
def output():
    """Representations (1, 2) on the edge 0 - 1 and (3, 5) without an edge."""
    x = torch.ones(3, 4, requires_grad=True)
    pair = PairRepresentation(
        torch.tensor([[0], [1]]),
        torch.tensor([[1.0, 2.0]], requires_grad=True),
        torch.tensor([3.0, 5.0], requires_grad=True),
        num_nodes=3,
    )
    return SliceEncoderOutput(x, [x], pair)


def summing_head(objective):
    """A head that adds up a positive representation and ten."""
    first, second = objective.head.lins
    with torch.no_grad():
        first.weight.copy_(torch.eye(2))
        first.bias.zero_()
        second.weight.fill_(1.0)
        second.bias.fill_(10.0)
    return objective


def test_mean_squared_error(output):
    objective = summing_head(PairwiseDistanceRecovery(2))
    batch = Data(pair_index=torch.tensor([[1, 0], [0, 2]]), pair_distance=torch.tensor([12.0, 20.0]))
    loss = objective(output, batch)
    # Predictions 1 + 2 + 10 = 13 and 3 + 5 + 10 = 18.
    assert loss.dim() == 0 and float(loss.detach()) == pytest.approx((1**2 + 2**2) / 2)
    loss.backward()
    assert output.pair.edge_bias.grad.tolist() == [[1.0, 1.0]]
    assert output.pair.far.grad.tolist() == [-2.0, -2.0]


def test_no_pairs(output):
    batch = Data(pair_index=torch.empty(2, 0, dtype=torch.long), pair_distance=torch.empty(0))
    objective = PairwiseDistanceRecovery(2)
    loss = objective(output, batch)
    assert loss.dim() == 0 and float(loss.detach()) == 0 and objective.count(batch) == 0
    loss.backward()
    # Every weight has a gradient, which several processes wait for.
    for tensor in (output.x, output.pair.edge_bias, output.pair.far, *objective.parameters()):
        assert torch.equal(tensor.grad, torch.zeros_like(tensor))


def test_count():
    batch = Data(pair_index=torch.tensor([[1, 0, 2], [0, 2, 1]]), pair_distance=torch.ones(3))
    assert PairwiseDistanceRecovery(2).count(batch) == 3


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_official_code(name):
    case = GoldenCase(name)
    objective = load_head(PairwiseDistanceRecovery(case.heads), case.part("state.pair_head."))
    batch = case.batch()
    with torch.no_grad():
        loss = objective(run_encoder(case.encoder(), batch), batch)
    assert float(loss) == pytest.approx(float(case.tensors["out.pdr_mse_loss"]), rel=1e-5)


@pytest.mark.parametrize("rows", [None, 5])
def test_every_evaluator_learns_the_same(monkeypatch, rows):
    use_plain_flex_attention(monkeypatch)
    if rows is not None:
        cut_blocks(monkeypatch, rows)
    case, results = GoldenCase("se2_pre_ln"), []
    objective = load_head(PairwiseDistanceRecovery(case.heads), case.part("state.pair_head.")).double()
    batch = case.batch(torch.float64)
    for evaluator in ("edgewise", *FAST):
        encoder = case.encoder().double()
        for block in encoder.blocks:
            block.conv.evaluator = evaluator
        loss = objective(run_encoder(encoder, batch), batch)
        parameters = [*objective.parameters(), *encoder.blocks[0].parameters()]
        grads = torch.autograd.grad(loss, parameters, materialize_grads=True)
        results.append((loss.detach(), *grads))
    for others in results[1:]:
        for actual, expected in zip(others, results[0], strict=True):
            if expected.abs().max() > 1e-12:
                assert largest_error(actual, expected) <= 1e-9


def test_reads_the_scored_pairs_alone():
    num_nodes, heads = 500, 4
    pair = PairRepresentation(
        torch.tensor([[0, 1], [1, 2]]), torch.ones(2, heads, requires_grad=True), torch.ones(heads), 500
    )
    for _ in range(3):
        pair.append(*torch.ones(2, heads, num_nodes, 2, requires_grad=True).unbind())
    x = torch.ones(num_nodes, 4)
    batch = Data(pair_index=torch.tensor([[1, 0, 7], [0, 2, 400]]), pair_distance=torch.ones(3))
    with Memory() as memory:
        PairwiseDistanceRecovery(heads)(SliceEncoderOutput(x, [x], pair), batch).backward()
    # The gradients of the queries and keys of a layer, each of which has one number per channel.
    assert memory.largest <= 4 * 2 * heads * num_nodes * 2 < num_nodes**2
    assert memory.peak < 10 * 4 * heads * num_nodes * 2


def test_pairs_across_subpatches():
    x = torch.ones(2, 4)
    pair = PairRepresentation(
        torch.empty(2, 0, dtype=torch.long), torch.empty(0, 2), torch.ones(2), 2, torch.arange(2)
    )
    batch = Data(pair_index=torch.tensor([[0], [1]]), pair_distance=torch.ones(1))
    with pytest.raises(ValueError, match="two different subpatches"):
        PairwiseDistanceRecovery(2)(SliceEncoderOutput(x, [x], pair), batch)


def test_the_head_is_two_layers_from_heads_to_a_distance():
    shapes = [tuple(lin.weight.shape) for lin in PairwiseDistanceRecovery(4).head.lins]
    assert shapes == [(4, 4), (1, 4)]


def test_starts_from_a_constant_that_does_not_pull_at_the_representation(output):
    objective = PairwiseDistanceRecovery(2, mean_distance=4.0)
    with torch.no_grad():  # By chance, both hidden units of so small a head can be dead.
        objective.head.lins[0].weight.copy_(torch.eye(2))
        objective.head.lins[0].bias.zero_()
    batch = Data(pair_index=torch.tensor([[1, 0], [0, 2]]), pair_distance=torch.tensor([3.0, 7.0]))
    loss = objective(output, batch)
    assert float(loss.detach()) == pytest.approx((1**2 + 3**2) / 2)
    loss.backward()
    assert output.pair.edge_bias.grad.abs().max() == 0
    assert objective.head.lins[-1].weight.grad.abs().max() > 0
