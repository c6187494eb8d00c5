import torch
import torch.nn.functional as F
from torch import Tensor


class ProjectedEmbeddings:
    r"""The embeddings of tokens at their positions, and a linear layer of them, from tables.

    With the embedding :math:`\mathbf{e}_t` of a token, :math:`\mathbf{p}_i` of a position, both less
    their mean, and the standard deviation :math:`\sigma_{ti}` of their sum, normalisation and linear
    layer are

    .. math::
        \mathbf{W} (\mathbf{g} \odot \frac{\mathbf{e}_t + \mathbf{p}_i}{\sigma_{ti}} + \mathbf{b}) =
        \frac{1}{\sigma_{ti}} (\mathbf{W}_g \mathbf{e}_t + \mathbf{W}_g \mathbf{p}_i) + \mathbf{W}
        \mathbf{b}

    so that tokens and positions are projected once each, not once for each token of each cell.

    Args:
        words (torch.Tensor): The embeddings of tokens :math:`(V, C)`.
        positions (torch.Tensor): The embeddings of positions :math:`(L, C)`.
        norm (tuple): Weight, bias and epsilon of the normalisation.
        weight (torch.Tensor): The weight of the linear layer :math:`(D, C)`.
        bias (torch.Tensor): The bias of its first outputs; the others have none.
    """

    def __init__(
        self,
        words: Tensor,
        positions: Tensor,
        norm: tuple[Tensor, Tensor, float],
        weight: Tensor,
        bias: Tensor,
    ):
        self.words, self.positions, self.norm = words, positions, norm
        scaled = weight * norm[0]
        tables = [F.linear(x - x.mean(dim=-1, keepdim=True), scaled) for x in (words, positions)]
        constant = F.linear(norm[1], weight)
        constant[: bias.size(0)] += bias
        self.table = torch.cat([*tables, constant.unsqueeze(0)])

    def __call__(self, tokens: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        r"""Embeds tokens.

        Args:
            tokens (torch.Tensor): The tokens :math:`(T)`.
            positions (torch.Tensor): Their positions :math:`(T)`.

        Returns:
            The embeddings :math:`(T, C)` and their projections :math:`(T, D)`.
        """
        x = F.embedding(tokens, self.words).add_(F.embedding(positions, self.positions))
        x, _, scale = torch.native_layer_norm(x, (x.size(-1),), *self.norm)
        rows = torch.empty(tokens.numel(), 3, dtype=torch.int32)
        rows[:, 0], rows[:, 1] = tokens, positions + self.words.size(0)
        rows[:, 2] = self.table.size(0) - 1
        scales = torch.ones(rows.shape, dtype=x.dtype)
        scales[:, :2] = scale.view(-1, 1)
        return x, F.embedding_bag(rows, self.table, mode="sum", per_sample_weights=scales)
