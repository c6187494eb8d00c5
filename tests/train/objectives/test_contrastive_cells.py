import math

import pytest
import torch

from stofm_pyg.train import ContrastiveCells


def test_by_hand():
    # Cosines [[1, 0], [0.6, 0.8]] at a temperature of 0.5.
    first = torch.tensor([[2.0, 0.0], [0.6, 0.8]])
    second = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    s = [[2.0, 0.0], [1.2, 1.6]]

    def loss(right, other):
        return -math.log(math.exp(right) / (math.exp(right) + math.exp(other)))

    rows = loss(s[0][0], s[0][1]) + loss(s[1][1], s[1][0])
    columns = loss(s[0][0], s[1][0]) + loss(s[1][1], s[0][1])
    assert ContrastiveCells(0.5)(first, second).item() == pytest.approx((rows + columns) / 4, abs=1e-6)


def test_both_directions():
    torch.manual_seed(0)
    first, second = torch.randn(2, 5, 3)
    loss = ContrastiveCells(0.1)
    assert loss(first, second).item() == pytest.approx(loss(second, first).item(), abs=1e-6)


def test_ends():
    x = torch.eye(4)
    assert ContrastiveCells()(x, x).item() == pytest.approx(0.0, abs=1e-6)
    assert ContrastiveCells()(x[:1], x[1:2]).item() == 0.0
    same = torch.ones(4, 3)
    assert ContrastiveCells()(same, same).item() == pytest.approx(math.log(4), abs=1e-6)


def test_the_right_pair_is_pulled_together():
    torch.manual_seed(0)
    first = torch.randn(3, 2, requires_grad=True)
    second = torch.randn(3, 2)
    loss = ContrastiveCells(0.5)(first, second)
    loss.backward()
    closer = ContrastiveCells(0.5)((first - 0.1 * first.grad).detach(), second)
    assert closer < loss


def test_shapes():
    with pytest.raises(ValueError, match=r"shapes \[2, 3\] and \[4, 3\]"):
        ContrastiveCells()(torch.randn(2, 3), torch.randn(4, 3))


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_temperature(bad):
    with pytest.raises(ValueError, match=rf"'temperature' must be positive and finite \(got {bad}\)"):
        ContrastiveCells(bad)


def test_repr():
    assert repr(ContrastiveCells(0.1)) == "ContrastiveCells(temperature=0.1)"
