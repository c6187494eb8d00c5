import pytest
import torch

from stofm_pyg.models.packed_attention import jagged_attention, packed_attention
from stofm_pyg.models.packed_cells import pack_cells

LENGTHS = (5, 1, 9, 5, 2, 1)


def by_hand(query, key, value, ptr):
    """The definition, cell by cell."""
    out = []
    for start, stop in zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True):
        q, k, v = (x[start:stop].transpose(0, 1) for x in (query, key, value))
        alpha = (q @ k.transpose(1, 2) / q.size(-1) ** 0.5).softmax(dim=-1)
        out.append((alpha @ v).transpose(0, 1).flatten(1))
    return torch.cat(out)


def make(lengths=LENGTHS):
    torch.manual_seed(0)
    cells = pack_cells(torch.tensor([0, *lengths]).cumsum(0))
    qkv = torch.randn(3, sum(lengths), 2, 8, requires_grad=True)
    return cells, qkv


@pytest.mark.parametrize("attention", [packed_attention, jagged_attention])
@pytest.mark.parametrize("lengths", [LENGTHS, (1,), (4, 4, 4)])
def test_attention_and_its_gradient_are_those_of_each_cell_alone(attention, lengths):
    cells, qkv = make(lengths)
    expected = by_hand(*qkv, cells.ptr)
    out = attention(*qkv, cells)
    assert out.shape == (sum(lengths), 16)
    assert torch.allclose(out, expected, atol=1e-6)
    weight = torch.randn_like(out)
    grads = [torch.autograd.grad((x * weight).sum(), qkv)[0] for x in (out, expected)]
    assert torch.allclose(*grads, atol=1e-6)


@pytest.mark.parametrize("attention", [packed_attention, jagged_attention])
def test_dropout_drops_weights_and_scales_the_others(attention):
    cells, qkv = make((6,) * 200)
    qkv = torch.zeros_like(qkv.detach())
    qkv[2] = 1.0
    torch.manual_seed(1)
    out = attention(*qkv, cells, dropout=0.5)
    kept = (out * 3).round()  # Six weights of 1/6, doubled: the number of those left, thirds.
    assert torch.allclose(out * 3, kept, atol=1e-5)
    assert set(kept.unique().tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0}
    assert abs(out.mean() - 1) < 0.02


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_unlike_lengths_on_a_gpu():
    cells, qkv = make()
    out = packed_attention(*qkv.detach().cuda(), cells.to(torch.device("cuda")))
    assert torch.allclose(out.cpu(), by_hand(*qkv, cells.ptr), atol=1e-5)
