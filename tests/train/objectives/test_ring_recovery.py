import pytest
import torch

from stofm_pyg.nn import NodeType, SliceEncoderOutput
from stofm_pyg.train import RingRecovery
from tests.random_batch import random_batch


def make_batch():
    data = random_batch((7, 5), channels=6, special=(NodeType.VIRTUAL,))
    generator = torch.Generator().manual_seed(0)
    data.rings = torch.randn(data.num_nodes, 3, 4, generator=generator)
    return data


def output_of(x):
    return SliceEncoderOutput(x, None, None)


def test_the_mean_squared_error_of_cells():
    torch.manual_seed(0)
    objective, data = RingRecovery(6, 4, 3), make_batch()
    cells = data.node_type == NodeType.CELL
    assert 0 < int((~cells).sum()) and objective.count(data) == int(cells.sum())
    pred = data.x[cells] @ objective.lin.weight.T + objective.lin.bias
    want = (pred - data.rings[cells].flatten(1)).square().mean()
    assert float(objective(output_of(data.x), data)) == pytest.approx(float(want), rel=1e-5)
    other = data.clone()
    other.rings = torch.where(cells.view(-1, 1, 1), data.rings, torch.nan)  # Virtual cells have none.
    assert torch.equal(objective(output_of(data.x), other), objective(output_of(data.x), data))


def test_it_can_be_learned():
    torch.manual_seed(0)
    objective, data = RingRecovery(6, 2, 1), make_batch()
    data.rings = torch.stack([data.x[:, 0], -data.x[:, 3]], dim=1)[:, None]
    optimizer = torch.optim.LBFGS(objective.parameters(), max_iter=50)

    def closure():
        optimizer.zero_grad()
        loss = objective(output_of(data.x), data)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert float(closure()) < 1e-6
