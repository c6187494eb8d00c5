import pytest
import torch

from stofm_pyg.nn.attention.block_attention import block_attention, block_attention_backward
from tests.nn.attention_case import (
    assert_near,
    attention_by_pairs,
    cut_blocks,
    logits_by_pairs,
    random_layers,
    random_pair,
    valid_nodes,
)


@pytest.fixture(params=[None, 1, 3], ids=["whole", "single rows", "three rows"])
def blocks(request, monkeypatch):
    if request.param is not None:
        cut_blocks(monkeypatch, request.param)


def with_layers(evaluator, special=(3, 1, 2, 2, 3)):
    pair = random_pair(special=special, evaluator=evaluator)
    layers = random_layers(pair, 3, 4)
    for query, key, _ in layers:
        pair.append(query, key)
        pair.logits.append(query, key)
    return pair, layers[-1][2]


def backward(pair, value, grad, **dropout):
    """The gradients of the values and of the logits `(H, N, N)`, zero across subpatches."""
    of_logits = value.new_zeros(pair.heads, pair.num_nodes, pair.num_nodes)
    numbers = []

    def visit(number, block, grad):
        numbers.append(number)
        of_logits[:, block.rows, block.keys] = grad

    of_value = block_attention_backward(pair.logits, 2, value, grad, visit, **dropout)
    assert numbers == list(range(len(pair.logits.blocks)))
    return of_value, of_logits


@pytest.mark.parametrize("evaluator", ["dense", "blocked"])
def test_is_a_softmax_of_the_logits(blocks, evaluator):
    pair, value = with_layers(evaluator)
    out = block_attention(pair.logits, 2, value)
    valid = valid_nodes(pair)
    assert_near(out[:, valid], attention_by_pairs(pair, value)[:, valid], 1e-12)
    # Padding gets something finite, which nobody reads.
    assert out.isfinite().all()


@pytest.mark.parametrize("evaluator", ["dense", "blocked"])
def test_an_earlier_layer(blocks, evaluator):
    pair, value = with_layers(evaluator, special=(1, 2))
    block_attention(pair.logits, 2, value)
    again = block_attention(pair.logits, 1, value)
    pair.queries.pop(), pair.keys.pop()
    assert_near(again, attention_by_pairs(pair, value), 1e-12)


@pytest.mark.parametrize("evaluator", ["dense", "blocked"])
def test_gradients(blocks, evaluator):
    pair, value = with_layers(evaluator)
    out = block_attention(pair.logits, 2, value)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    grad[:, ~valid_nodes(pair)] = 0
    of_value, of_logits = backward(pair, value, grad)

    logits, value = logits_by_pairs(pair).requires_grad_(), value.clone().requires_grad_()
    # A row of padding has no logits, and no gradient either.
    attended = logits.softmax(dim=-1).nan_to_num(0.0) @ value
    expected_value, expected_logits = torch.autograd.grad(attended, (value, logits), grad)
    assert_near(of_value, expected_value, 1e-12)
    assert_near(of_logits, expected_logits, 1e-12)


def test_dropout_keeps_the_mean():
    pair, value = with_layers("blocked", special=(1, 2))
    expected = block_attention(pair.logits, 2, value)
    total = sum(block_attention(pair.logits, 2, value, 0.3, 1000 * seed) for seed in range(300))
    assert (total / 300 - expected).abs().mean() < 0.06 * expected.abs().mean()
    assert (block_attention(pair.logits, 2, value, 0.3, 1) - expected).abs().mean() > 0.1


def test_dropout_follows_the_seed(blocks):
    pair, value = with_layers("blocked")
    first = block_attention(pair.logits, 2, value, 0.5, 7)
    assert torch.equal(block_attention(pair.logits, 2, value, 0.5, 7), first)
    # Far apart, since the blocks of one pass have numbers of their own.
    assert not torch.allclose(block_attention(pair.logits, 2, value, 0.5, 7_000), first)


def test_all_dropped(blocks):
    pair, value = with_layers("dense")
    out = block_attention(pair.logits, 2, value, 1.0, 3)
    assert (out == 0).all()
    of_value, of_logits = backward(pair, value, torch.ones_like(out), dropout=1.0, seed=3)
    assert (of_value == 0).all() and (of_logits == 0).all()


def test_dropped_weights_differ_from_block_to_block(monkeypatch):
    cut_blocks(monkeypatch, 1)
    pair = random_pair(sizes=(40,), special=())
    (_, _, value), zeros = random_layers(pair, 3)[0], torch.zeros(2, 40, 3, dtype=torch.float64)
    pair.logits.append(zeros, zeros)
    ones = torch.ones_like(value)
    rows = block_attention(pair.logits, 1, ones, 0.5, 0)[0, :, 0]
    assert rows.unique().numel() == 40


@pytest.mark.parametrize("evaluator", ["dense", "blocked"])
def test_the_backward_pass_drops_what_the_forward_pass_dropped(blocks, evaluator):
    pair, value = with_layers(evaluator, special=(1, 2))
    dropout = {"dropout": 0.4, "seed": 5}
    # What every weight was multiplied by, read off by attending to unit vectors.
    units = torch.eye(pair.num_nodes, dtype=value.dtype).expand(pair.heads, -1, -1).contiguous()
    dropped = block_attention(pair.logits, 2, units, **dropout)
    logits = logits_by_pairs(pair)
    mask = dropped / logits.softmax(dim=-1)
    mask = mask.nan_to_num(0.0).round(decimals=6)
    assert set(mask.unique().tolist()) == {0.0, round(1 / 0.6, 6)}

    out = block_attention(pair.logits, 2, value, **dropout)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    of_value, of_logits = backward(pair, value, grad, **dropout)
    logits, value = logits.requires_grad_(), value.clone().requires_grad_()
    attended = (logits.softmax(dim=-1) * (mask > 0) / 0.6) @ value
    assert_near(out, attended.detach(), 1e-12)
    expected_value, expected_logits = torch.autograd.grad(attended, (value, logits), grad)
    assert_near(of_value, expected_value, 1e-12)
    assert_near(of_logits, expected_logits, 1e-12)
