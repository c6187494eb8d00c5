import pytest
import torch

from stofm_pyg.nn.attention.block_logits import BlockLogits
from stofm_pyg.nn.attention.row_blocks import row_blocks
from tests.nn.attention_case import cut_blocks, logits_by_pairs, random_layers, random_pair, valid_nodes


def three_nodes(keep, max_pairs=100):
    """Two heads; 1 and 10 on the edge 0 - 1, -5 and -50 without an edge; CLS 3 with the cell 4."""
    node_type = torch.tensor([0, 0, 0, 1, 0])
    blocks = row_blocks(torch.tensor([[0, 3], [1, 4]]), [3, 2], node_type, max_pairs)
    bias, far = torch.tensor([[1.0, 7.0], [10.0, 70.0]]), torch.tensor([-5.0, -50.0])
    return BlockLogits(blocks, bias, far, keep)


@pytest.mark.parametrize("keep", [True, False])
def test_the_bias(keep):
    logits = three_nodes(keep)
    expected = torch.tensor([[0.0, 1.0, -5.0], [1.0, 0.0, -5.0], [-5.0, -5.0, 0.0]])
    assert torch.equal(logits.at(0, 0), torch.stack([expected, 10 * expected]))
    assert torch.equal(logits.at(1, 0), torch.zeros(2, 2, 2))
    assert logits.sizes == [18, 8] and logits.heads == 2 and logits.num_layers == 0


@pytest.mark.parametrize("keep", [True, False])
def test_a_layer(keep):
    logits = three_nodes(keep)
    query, key = torch.zeros(2, 5, 1), torch.zeros(2, 5, 1)
    query[0, :, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    key[0, :, 0] = torch.tensor([10.0, 0.0, -1.0, 0.5, 2.0])
    logits.append(query, key)
    assert logits.num_layers == 1
    first = torch.tensor([[10.0, 1.0, -6.0], [21.0, 0.0, -7.0], [25.0, -5.0, -3.0]])
    assert torch.equal(logits.at(0, 1)[0], first)
    assert torch.equal(logits.at(1, 1)[0], torch.tensor([[2.0, 8.0], [2.5, 10.0]]))
    assert torch.equal(logits.at(1, 1)[1], torch.zeros(2, 2))


def with_layers(monkeypatch, evaluator, rows):
    if rows is not None:
        cut_blocks(monkeypatch, rows)
    pair, expected = random_pair(evaluator=evaluator), []
    expected.append(logits_by_pairs(pair))
    for query, key, _ in random_layers(pair, 3, 1, 4):
        pair.append(query, key)
        pair.logits.append(query, key)
        expected.append(logits_by_pairs(pair))
    return pair, expected


@pytest.mark.parametrize("evaluator", ["dense", "blocked"])
@pytest.mark.parametrize("rows", [None, 1, 3])
def test_any_layer_in_any_order(monkeypatch, evaluator, rows):
    pair, expected = with_layers(monkeypatch, evaluator, rows)
    logits, valid = pair.logits, valid_nodes(pair)
    # As in two passes forwards and backwards, and as nothing does.
    for layer in (0, 1, 2, 3, 3, 2, 1, 0, 3, 0, 2):
        for number, block in enumerate(logits.blocks):
            actual = logits.at(number, layer)[:, valid[block.rows]]
            of_block = expected[layer][:, block.rows, block.keys][:, valid[block.rows]]
            keys = valid[block.keys]
            assert torch.allclose(actual[..., keys], of_block[..., keys], atol=1e-12)
            assert actual.softmax(dim=-1)[..., ~keys].abs().sum() == 0


def test_kept_logits_are_made_once_and_others_share_a_buffer(monkeypatch):
    kept, _ = with_layers(monkeypatch, "dense", 3)
    places = [[kept.logits.at(n, layer).data_ptr() for n in range(5)] for layer in (0, 3, 1)]
    assert places[0] == places[1] == places[2] and len(set(places[0])) == 5
    made, _ = with_layers(monkeypatch, "blocked", 3)
    assert len({made.logits.at(n, layer).data_ptr() for n in range(5) for layer in (1, 2)}) == 1


def test_keeps_no_graph():
    pair = random_pair(evaluator="dense")
    pair.edge_bias.requires_grad_(), pair.far.requires_grad_()
    query, key, _ = random_layers(pair, 3)[0].requires_grad_()
    pair.logits.append(query, key)
    assert not pair.logits.at(0, 1).requires_grad


def test_views_of_a_buffer():
    logits = three_nodes(False, max_pairs=1)
    buffer = logits.new_buffer()
    assert buffer.shape == (18,) and buffer.dtype == torch.float32
    view = logits.view(buffer, 1)
    assert view.shape == (2, 2, 2) and view.data_ptr() == buffer.data_ptr()
    assert BlockLogits([], torch.empty(2, 0), torch.empty(2), True).new_buffer().numel() == 0


@pytest.mark.parametrize("rows", [None, 1, 3])
def test_gradient_of_the_bias(monkeypatch, rows):
    if rows is not None:
        cut_blocks(monkeypatch, rows)
    pair = random_pair()
    pair.edge_bias.requires_grad_(), pair.far.requires_grad_()
    generator = torch.Generator().manual_seed(1)
    size = (2, pair.num_nodes, pair.num_nodes)
    weight = torch.randn(size, generator=generator, dtype=torch.float64)
    weight[:, :, ~valid_nodes(pair)] = 0  # Nothing attends to padding, so it has no gradient.
    weight[:, ~valid_nodes(pair)] = 0
    index = pair.all_pairs()
    loss = (pair.pairs(index) * weight[:, index[1], index[0]].t()).sum()
    expected_bias, expected_far = torch.autograd.grad(loss, (pair.edge_bias, pair.far))

    logits = pair.logits
    bias, far = torch.zeros_like(logits.bias), torch.zeros_like(logits.far)
    for block in logits.blocks:
        grad = weight[:, block.rows, block.keys].contiguous()
        far += grad.sum((1, 2)) - logits.bias_gradient(block, grad, bias)
    assert torch.allclose(bias.t(), expected_bias, atol=1e-12) and bias.abs().max() > 0.1
    assert torch.allclose(far, expected_far, atol=1e-12)


def test_sums_of_many_gradients_are_exact():
    size = 3000
    blocks = row_blocks(torch.empty(2, 0, dtype=torch.long), [size], None, 100 * size)
    logits = BlockLogits(blocks, torch.empty(1, 0), torch.zeros(1), False)
    near = sum(
        logits.bias_gradient(block, torch.full((1, *block.shape), 0.1), torch.empty(1, 0))
        for block in blocks
    )
    assert near.dtype == torch.float64
    assert float(near) == pytest.approx(size * float(torch.tensor(0.1)), rel=1e-12)
