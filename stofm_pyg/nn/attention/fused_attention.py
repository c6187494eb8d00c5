from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import AuxRequest, flex_attention

from stofm_pyg.nn.attention.block_logits import BlockLogits
from stofm_pyg.nn.attention.row_blocks import RowBlock

# The widest queries that the kernel takes: those of all layers so far, side by side.
MAX_CHANNELS = 256
# The narrowest queries, keys and values that it takes on CUDA.
FEWEST_CHANNELS = 16
# Products of a query and a key formed at a time for pairs with a bias of their own.
MAX_PRODUCTS = 2**26


def fused_attention(logits: BlockLogits, layer: int, value: Tensor) -> Tensor:
    r"""Attention of one layer without any matrix of logits, by FlexAttention (compiled on CUDA).

    All far pairs share one bias, so a kernel without a bias attends over them and returns the sum of
    their weights too. The near ones, edges, the diagonal and CLS, are few and are added one by one. A
    bit for each pair tells the kernel which ones it is to leave out.

    Args:
        logits (BlockLogits): The logits.
        layer (int): The number of layers whose products are in the logits.
        value (torch.Tensor): The values :math:`(H, N, d)`.

    Returns:
        The attended values :math:`(H, N, d)`.
    """
    query, key = logits.stacked_queries(layer, slice(None)), logits.stacked_keys(layer)
    if query.size(-1) > MAX_CHANNELS:
        raise ValueError(
            f"The fused evaluator takes up to {MAX_CHANNELS} channels a head, summed over the layers "
            f"(got {query.size(-1)} after {layer} layers); use evaluator='blocked'"
        )
    out = torch.empty_like(value)
    for keys in dict.fromkeys((block.keys.start, block.keys.stop) for block in logits.blocks):
        nodes = slice(*keys)
        blocks = [block for block in logits.blocks if block.keys == nodes]
        of_far, weight = _attend_far(query[:, nodes], key[:, nodes], value[:, nodes], blocks)
        out[:, nodes] = of_far
        weight = weight + logits.far.view(-1, 1)
        for block in blocks:
            rows = slice(block.rows.start - nodes.start, block.rows.stop - nodes.start)
            out[:, block.rows] = _add_near(
                logits, block, query, key, value, of_far[:, rows], weight[:, rows]
            )
    return out


def _attend_far(
    query: Tensor, key: Tensor, value: Tensor, blocks: list[RowBlock]
) -> tuple[Tensor, Tensor]:
    is_near = _near_bits(blocks)
    is_padding = torch.zeros(key.size(1), dtype=torch.bool, device=key.device)
    if blocks[0].padding is not None:
        is_padding[blocks[0].padding] = True

    def score(score, batch, head, row, column):
        near = (is_near[row, column // 32] >> (column % 32)) & 1
        return torch.where((near == 1) | is_padding[column], -float("inf"), score)

    attend = _compiled() if query.is_cuda else flex_attention
    out, sums = attend(
        *map(_widened, (query, key, value)), score_mod=score, scale=1.0,
        return_aux=AuxRequest(lse=True),
    )  # fmt: skip
    return out[0, ..., : value.size(-1)].nan_to_num(0.0), sums.lse[0]


def _widened(x: Tensor) -> Tensor:
    # The kernel wants powers of two, 16 or more; zeros do not change a product.
    wide = 1 << max(x.size(-1) - 1, FEWEST_CHANNELS - 1).bit_length()
    return F.pad(x, (0, wide - x.size(-1))).unsqueeze(0)


@cache
def _compiled():
    return torch.compile(flex_attention, dynamic=True)


def _near_bits(blocks: list[RowBlock]) -> Tensor:
    # One bit per pair, 32 of them in a number; they are all different, so adding them sets them.
    size = blocks[0].shape[1]
    bits = blocks[0].place.new_zeros(size, -(-size // 32), dtype=torch.int32)
    for block in blocks:
        rows = slice(block.rows.start - block.keys.start, block.rows.stop - block.keys.start)
        row, column = _near_pairs(block)
        place, bit = row * bits.size(1) + column // 32, torch.ones_like(column) << (column % 32)
        bits[rows].view(-1).index_add_(0, place, bit.int())
    return bits


def _near_pairs(block: RowBlock) -> tuple[Tensor, Tensor]:
    # Row and column inside the block, of edges first, then of CLS and of the diagonal.
    num_rows, num_keys = block.shape
    row = torch.arange(num_rows, device=block.place.device)
    diagonal = row * num_keys + row + block.rows.start - block.keys.start
    place = [block.place, diagonal] if block.zero is None else [block.place, block.zero, diagonal]
    place = torch.cat(place)
    return place // num_keys, place % num_keys


def _add_near(
    logits: BlockLogits, block: RowBlock, query: Tensor, key: Tensor, value: Tensor,
    out: Tensor, weight: Tensor,
) -> Tensor:  # fmt: skip
    # 'out' and 'weight' are those of the far pairs, the weight as a logarithm.
    row, column = _near_pairs(block)
    bias = F.pad(logits.bias.index_select(1, block.edge), (0, row.numel() - block.edge.numel()))
    query, key, value = query[:, block.rows], key[:, block.keys], value[:, block.keys]
    step = max(MAX_PRODUCTS // (logits.heads * query.size(-1)), 1)
    score = torch.cat(
        [
            (query.index_select(1, r) * key.index_select(1, c)).sum(-1)
            for r, c in zip(row.split(step), column.split(step), strict=True)
        ],
        dim=1,
    ).add_(bias)
    if block.padding is not None:
        score.masked_fill_(torch.isin(column, block.padding), torch.finfo(score.dtype).min)

    index = row.expand_as(score)
    top = weight.scatter_reduce(1, index, score, "amax")
    share = (weight - top).exp_()
    near = (score - top.index_select(1, row)).exp_()
    total = share.scatter_add(1, index, near)
    out = out * share.unsqueeze(-1)
    for r, c, part in zip(row.split(step), column.split(step), near.split(step, dim=1), strict=True):
        out.index_add_(1, r, value.index_select(1, c) * part.unsqueeze(-1))
    return out / total.unsqueeze(-1)
