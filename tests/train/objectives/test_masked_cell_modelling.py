import math

import pytest
import torch
from torch_geometric.data import Data

from stofm_pyg.nn import SliceEncoderOutput
from stofm_pyg.train import MaskedCellModelling
from tests.golden_case import CASES, GoldenCase, load_head, run_encoder


def identity_head(objective):
    """A head that gives a positive embedding back as it is."""
    with torch.no_grad():
        for lin in objective.head.lins:
            lin.weight.copy_(torch.eye(2))
            lin.bias.zero_()
    return objective


@pytest.fixture
def output():
    x = torch.tensor([[1.0, 2.0], [9.0, 9.0], [3.0, 4.0]], requires_grad=True)
    return SliceEncoderOutput(x, [x], None)


@pytest.fixture
def batch():
    target = torch.tensor([[2.0, 2.0], [4.0, 0.0]])
    return Data(mask=torch.tensor([True, False, True]), target=target)


def test_mean_squared_error(output, batch):
    objective = identity_head(MaskedCellModelling(2, 2))
    loss = objective(output, batch)
    assert loss.dim() == 0 and float(loss.detach()) == pytest.approx((1 + 0 + 1 + 16) / 4)
    loss.backward()
    # d/dx of the mean over four numbers; the cell that is not masked has no part in it.
    expected = torch.tensor([[-0.5, 0.0], [0.0, 0.0], [-0.5, 2.0]])
    assert torch.allclose(output.x.grad, expected)


def test_cosine(output, batch):
    objective = identity_head(MaskedCellModelling(2, 2, loss="cosine"))
    first = (1 * 2 + 2 * 2) / (math.sqrt(5) * math.sqrt(8))
    second = (3 * 4) / (5 * 4)
    expected = 1 - (first + second) / 2
    assert float(objective(output, batch).detach()) == pytest.approx(expected, rel=1e-6)
    batch.target = 7 * batch.target
    assert float(objective(output, batch).detach()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_official_code(name):
    case = GoldenCase(name)
    channels = case.config["embedding_dim"]
    objective = load_head(MaskedCellModelling(channels, channels, "cosine"), case.part("state.lm_head."))
    batch = case.batch()
    with torch.no_grad():
        loss = objective(run_encoder(case.encoder(), batch), batch)
    assert float(loss) == pytest.approx(float(case.tensors["out.mcm_cosine_loss"]), rel=1e-5)


def test_the_head_is_two_layers_from_embedding_to_features():
    objective = MaskedCellModelling(8, 5)
    shapes = [tuple(lin.weight.shape) for lin in objective.head.lins]
    assert shapes == [(8, 8), (5, 8)] and objective.loss == "mse"


def test_unknown_loss():
    with pytest.raises(ValueError, match="Unknown loss 'l1'; known: mse, cosine"):
        MaskedCellModelling(8, 5, loss="l1")


@pytest.mark.parametrize("loss", ["mse", "cosine"])
def test_no_masked_cell(output, loss):
    objective = MaskedCellModelling(2, 2, loss)
    batch = Data(mask=torch.zeros(3, dtype=torch.bool), target=torch.empty(0, 2))
    value = objective(output, batch)
    assert value.dim() == 0 and value.item() == 0 and objective.count(batch) == 0
    value.backward()
    # Every weight has a gradient, which several processes wait for.
    for tensor in (output.x, *objective.parameters()):
        assert torch.equal(tensor.grad, torch.zeros_like(tensor))


def test_count(batch):
    assert MaskedCellModelling(2, 2).count(batch) == 2
