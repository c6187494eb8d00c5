from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from stofm_pyg.models.packed_attention import packed_attention
from stofm_pyg.models.packed_cells import PackedCells

if TYPE_CHECKING:
    from transformers import BertModel


def packed_states(bert: BertModel, tokens: Tensor, cells: PackedCells) -> Tensor:
    r"""The output of a BERT for each token of a batch without padding; differentiable, with dropout
    while the model is in training.

    All but attention works on one token at a time, so that the modules of
    :class:`~transformers.BertModel` take packed tokens as they are.

    Args:
        bert (BertModel): The model.
        tokens (torch.Tensor): The packed tokens :math:`(T)`.
        cells (PackedCells): Which tokens are whose.

    Returns:
        The states of the packed tokens :math:`(T, C)`.
    """
    x = bert.embeddings(tokens.unsqueeze(0), position_ids=cells.positions.unsqueeze(0)).squeeze(0)
    for layer in bert.encoder.layer:
        attention = layer.attention.self
        size = (attention.num_attention_heads, attention.attention_head_size)
        q, k, v = (
            lin(x).unflatten(-1, size) for lin in (attention.query, attention.key, attention.value)
        )
        dropout = attention.dropout.p if attention.training else 0.0
        x = layer.attention.output(packed_attention(q, k, v, cells, dropout), x)
        x = layer.output(layer.intermediate(x), x)
    return x
