import pytest
import torch
from torch_geometric.data import Data

from stofm_pyg.nn import PairRepresentation, SliceEncoderOutput
from stofm_pyg.train import PairwiseDistanceRecovery
from tests.golden_case import CASES, GoldenCase, load_head, run_encoder


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
    loss = PairwiseDistanceRecovery(2)(output, batch)
    assert loss.dim() == 0 and float(loss.detach()) == 0
    loss.backward()
    assert torch.equal(output.x.grad, torch.zeros(3, 4))


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_official_code(name):
    case = GoldenCase(name)
    objective = load_head(PairwiseDistanceRecovery(case.heads), case.part("state.pair_head."))
    batch = case.batch()
    with torch.no_grad():
        loss = objective(run_encoder(case.encoder(), batch), batch)
    assert float(loss) == pytest.approx(float(case.tensors["out.pdr_mse_loss"]), rel=1e-5)


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
