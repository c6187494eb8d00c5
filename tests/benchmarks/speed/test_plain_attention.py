import torch

from benchmarks.speed.plain_attention import PlainEncoder


def encoder():
    torch.manual_seed(0)
    return PlainEncoder(6, 8, num_layers=2, heads=2)


def test_it_is_attention_as_the_equation_says():
    model, x = encoder(), torch.randn(1, 5, 8)
    block = model.blocks[0]
    query, key, value = block.lin_qkv(x).chunk(3, dim=-1)
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        alpha = (query[..., head] @ key[..., head].transpose(1, 2) / 2).softmax(-1)
        heads.append(alpha @ value[..., head])
    h = block.norm1(x + block.lin_out(torch.cat(heads, dim=-1)))
    expected = block.norm2(h + block.lin2(torch.nn.functional.gelu(block.lin1(h))))
    torch.testing.assert_close(block(x), expected)


def test_subpatches_do_not_see_each_other():
    model, x, node_type = encoder(), torch.randn(3, 5, 6), torch.tensor([[0, 0, 0, 2, 2]] * 3)
    out = model(x, node_type)
    assert out.shape == (3, 5, 8)
    torch.testing.assert_close(out[1:2], model(x[1:2], node_type[1:2]))
    assert not torch.allclose(out, model(x, torch.zeros_like(node_type)))
