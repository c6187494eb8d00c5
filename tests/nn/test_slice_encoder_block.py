import pytest
import torch
import torch.nn.functional as F

from stofm_pyg.nn.slice_encoder_block import SliceEncoderBlock


class Operator(torch.nn.Module):
    """Doubles its input, notes it and hands on what it got."""

    def forward(self, x, *args, return_pair=False):
        self.x, self.args = x, args
        assert return_pair
        return 2 * x, "next pair"

    def reset_parameters(self):
        self.was_reset = True


def make_block(**kwargs):
    torch.manual_seed(0)
    block = SliceEncoderBlock(Operator(), channels=6, ffn_channels=10, **kwargs)
    with torch.no_grad():
        for norm in (block.norm1, block.norm2):
            norm.weight.normal_()
            norm.bias.normal_()
    return block, torch.randn(4, 6)


def feed_forward(block, x, act=F.gelu):
    return block.lin2(act(block.lin1(x)))


def test_normalises_after():
    block, x = make_block()
    out, pair = block(x, "edges", "distances", "batch", "types", "pair")
    h = block.norm1(x + 2 * x)
    expected = block.norm2(h + feed_forward(block, h))
    assert torch.allclose(out, expected, atol=1e-6)
    assert pair == "next pair"
    assert block.conv.args == ("edges", "distances", "batch", "types", "pair")
    assert torch.equal(block.conv.x, x)


def test_normalises_before():
    block, x = make_block(pre_norm=True)
    out, _ = block(x, None, None, None, None, None)
    h = x + 2 * block.norm1(x)
    expected = h + feed_forward(block, block.norm2(h))
    assert torch.allclose(out, expected, atol=1e-6)
    assert torch.equal(block.conv.x, block.norm1(x))


@pytest.mark.parametrize(("act", "function"), [("relu", F.relu), ("elu", F.elu)])
def test_act(act, function):
    block, x = make_block(act=act, pre_norm=True)
    h = x + 2 * block.norm1(x)
    expected = h + feed_forward(block, block.norm2(h), function)
    assert torch.allclose(block(x, None, None, None, None, None)[0], expected, atol=1e-6)


def test_dropout_of_both_parts():
    block, x = make_block(dropout=1.0, pre_norm=True)
    assert torch.equal(block(x, None, None, None, None, None)[0], x)
    assert not torch.equal(block.eval()(x, None, None, None, None, None)[0], x)


def test_dropout_of_the_hidden_layer():
    block, x = make_block()
    shapes = []
    block.dropout.register_forward_hook(lambda *call: shapes.append(tuple(call[2].shape)))
    block(x, None, None, None, None, None)
    assert shapes == [(4, 6), (4, 10), (4, 6)]


def test_sizes_and_reset():
    block, _ = make_block()
    assert block.lin1.weight.shape == (10, 6) and block.lin2.weight.shape == (6, 10)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.fill_(7.0)
    block.reset_parameters()
    assert block.conv.was_reset
    assert torch.equal(block.norm1.weight, torch.ones(6))
    assert torch.equal(block.norm2.bias, torch.zeros(6))
    assert block.lin1.weight.abs().max() < 1 and block.lin2.weight.abs().max() < 1
