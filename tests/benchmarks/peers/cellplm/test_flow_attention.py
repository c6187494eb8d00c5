import torch

from benchmarks.peers.cellplm.flow_attention import FlowAttention, FlowLayer


def pairwise(module, x):
    """The equation of the paper, one head and one pair of cells after another."""
    out, size = [], x.size(1) // module.heads
    parts = (module.query_projection(x), module.key_projection(x), module.value_projection(x))
    for head in range(module.heads):
        q, k, v = (part[:, head * size : (head + 1) * size] for part in parts)
        q, k = q.sigmoid(), k.sigmoid()
        both = q @ k.T
        into, out_of = both.sum(dim=1), both.sum(dim=0)
        allocation = (both / out_of).sum(dim=1).sigmoid()
        competition = len(x) * (both.T / into).sum(dim=1).clamp(-1, 1).softmax(dim=0)
        weight = both / into[:, None] * competition * allocation[:, None]
        out.append(weight @ v)
    return module.out_projection(torch.cat(out, dim=1))


def test_the_equation_pair_by_pair():
    torch.manual_seed(0)
    module, x = FlowAttention(8, 2), torch.randn(7, 8)
    torch.testing.assert_close(module(x), pairwise(module, x), atol=1e-4, rtol=1e-4)


def test_the_order_of_cells_does_not_matter():
    torch.manual_seed(0)
    layer, x, order = FlowLayer(8, 2, 0.5).eval(), torch.randn(9, 8), torch.randperm(9)
    torch.testing.assert_close(layer(x)[order], layer(x[order]), atol=1e-5, rtol=1e-5)
    # Norms come before each part, and what they are of is added to it.
    with torch.no_grad():
        layer.self_attn.out_projection.weight.zero_()
        layer.self_attn.out_projection.bias.zero_()
        layer._ff_block[3].weight.zero_()
        layer._ff_block[3].bias.fill_(2.0)
    torch.testing.assert_close(layer(x), x + 2)
