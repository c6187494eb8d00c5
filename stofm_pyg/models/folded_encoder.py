from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from stofm_pyg.models.folded_layer import FoldedLayer
from stofm_pyg.models.packed_cells import PackedCells
from stofm_pyg.models.projected_embeddings import ProjectedEmbeddings

if TYPE_CHECKING:
    from transformers import BertModel


class FoldedEncoder:
    r"""Embeds packed cells with a copy of the weights of a BERT and a pooling layer that is arranged
    for inference: see :class:`FoldedLayer`, and :class:`ProjectedEmbeddings` for what the first layer
    begins with on a CPU. The last layer is computed for the first tokens alone.

    Args:
        bert (BertModel): The model.
        proj (torch.nn.Linear): What is applied to the state of the first token of each cell.
        tokens (torch.Tensor): Tokens among which are all that there will be.
        device (torch.device): Where to compute.
        dtype (torch.dtype): In what to compute.
    """

    def __init__(
        self,
        bert: BertModel,
        proj: torch.nn.Linear,
        tokens: Tensor,
        device: torch.device,
        dtype: torch.dtype,
    ):
        def put(x: Tensor) -> Tensor:
            return x.detach().to(device, dtype)

        embeddings, norm = bert.embeddings, bert.embeddings.LayerNorm
        self.device = device
        self.out_channels = proj.out_features
        self.proj = (put(proj.weight), put(proj.bias))
        self.layers = [FoldedLayer(layer, device, dtype) for layer in bert.encoder.layer]

        words = embeddings.word_embeddings.weight
        used = torch.bincount(tokens, minlength=words.size(0)).nonzero().view(-1)
        self.rows = torch.full((words.size(0),), -1)
        self.rows[used] = torch.arange(used.numel())
        self.words = put(words[used.to(words.device)])
        positions = embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]
        self.positions = put(positions)
        self.norm = (put(norm.weight), put(norm.bias), norm.eps)
        self.projected = None
        if device.type == "cpu" and dtype == torch.float32 and len(self.layers) > 1:
            self.projected = ProjectedEmbeddings(
                self.words, self.positions, self.norm, self.layers[0].w_qkv, self.layers[0].b_query
            )

    @torch.no_grad()
    def __call__(self, tokens: Tensor, cells: PackedCells) -> Tensor:
        r"""Embeds a batch.

        Args:
            tokens (torch.Tensor): The packed tokens :math:`(T)`, on the CPU.
            cells (PackedCells): Which tokens are whose.

        Returns:
            The embeddings :math:`(N, C)`, float32 and of length one, in the order of the batch.
        """
        words = self.rows[tokens].to(self.device, non_blocking=True)
        cells = cells.to(self.device)
        if self.projected is not None:
            x, qkv = self.projected(words, cells.positions)
        else:
            x = F.embedding(words, self.words).add_(F.embedding(cells.positions, self.positions))
            x, qkv = F.layer_norm(x, (x.size(-1),), *self.norm), None
        for layer in self.layers[:-1]:
            x, qkv = layer(x, layer.project(x) if qkv is None else qkv, cells), None
        x = self.layers[-1].first_tokens(x, cells)
        return F.normalize(F.linear(x, *self.proj).float(), dim=-1)
