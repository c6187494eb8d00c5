import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from torch_geometric.data import Data
from torch_geometric.utils import scatter

from stofm_pyg.data import CellTokens
from stofm_pyg.loader.token_batches import batches_by_length
from stofm_pyg.models.cell_encoder.model import CellEncoder
from stofm_pyg.models.stofm import SToFM
from stofm_pyg.nn import NodeType, SliceEncoderOutput


class JointModel(torch.nn.Module):
    r"""A cell encoder and a slice encoder that are trained together: tokens of the cells of subpatches
    to embeddings of cells in their tissue (the last stage of `"SToFM"
    <https://arxiv.org/abs/2507.11588>`_).

    Cells that are masked are not encoded. Virtual cells keep the features that are in the batch: they
    are means over whole slices, by the encoder that the stage began with.

    Args:
        cell_encoder (CellEncoder): The encoder of cells.
        model (SToFM): The encoder of slices.
        max_tokens (int, optional): Cells are encoded so many tokens at a time, and once more in the
            backward pass, so that one such part is in memory, not all cells of a subpatch.
            (default: :obj:`16_384`)
        jitter (float, optional): The standard deviation of noise that is added to all features in
            training. (default: :obj:`0.0`)
        standardize (bool, optional): Whether features are standardised in each slice: embeddings of the
            cells of a subpatch then keep the mean and the mean square that features have in the batch.
            (default: :obj:`False`)
    """

    def __init__(
        self,
        cell_encoder: CellEncoder,
        model: SToFM,
        max_tokens: int = 16_384,
        jitter: float = 0.0,
        standardize: bool = False,
    ):
        super().__init__()
        self.cell_encoder = cell_encoder
        self.model = model
        self.max_tokens = max_tokens
        self.jitter = jitter
        self.standardize = standardize

    def forward(self, batch: Data) -> SliceEncoderOutput:
        r"""Encodes a batch of subpatches.

        Args:
            batch (Data): As :class:`SToFM` takes it, with :obj:`tokens` :math:`(T)` and
                :obj:`lengths` :math:`(N_{cells})` of its cells, in their order.

        Raises:
            ValueError: If the batch has no tokens, or those of another number of cells.
        """
        is_cell = batch.node_type == NodeType.CELL
        if "tokens" not in batch or batch.lengths.numel() != int(is_cell.sum()):
            raise ValueError(
                f"The batch has {int(is_cell.sum())} cells and tokens of "
                f"{batch.lengths.numel() if 'lengths' in batch else 'none'}; make it with "
                f"'CorpusDataset(..., tokens=True)'"
            )
        mask = batch.get("mask")
        wanted = is_cell if mask is None else is_cell & ~mask
        x = self.encode(batch_tokens(batch)[wanted[is_cell].cpu()]).to(batch.x.dtype)
        if self.standardize:
            part = batch.get("batch")
            part = wanted.new_zeros(wanted.numel(), dtype=torch.long) if part is None else part
            x = like_by_part(x, batch.x[wanted], part[wanted])
        data = batch.clone()
        data.x = batch.x.index_copy(0, wanted.nonzero().view(-1), x)
        if self.training and self.jitter > 0:
            data.x = data.x + self.jitter * torch.randn_like(data.x)
        return self.model(data)

    def encode(self, cells: CellTokens) -> Tensor:
        r"""Embeds cells, differentiably, in little memory.

        Args:
            cells (CellTokens): The tokens of :math:`N` cells; of longer cells than the encoder takes,
                the first tokens count.

        Returns:
            The embeddings :math:`(N, C)` in the order of the cells.

        Raises:
            ValueError: A token is outside the vocabulary, or a cell has no token.
        """
        cells = cells.truncate(self.cell_encoder.max_length)
        parts = batches_by_length(cells.lengths, self.max_tokens)
        if not parts:
            return self.cell_encoder.proj.weight.new_empty(0, self.cell_encoder.out_channels)
        again = torch.is_grad_enabled() and len(parts) > 1
        rows = [
            checkpoint(self.cell_encoder, cells[part], use_reentrant=False)
            if again
            else self.cell_encoder(cells[part])
            for part in parts
        ]
        order = torch.cat(parts).argsort().to(rows[0].device)
        return torch.cat(rows)[order]


def like_by_part(x: Tensor, other: Tensor, part: Tensor) -> Tensor:
    r"""Rows :math:`(N, C)`, shifted and stretched so that those of a part have the mean of others there
    and the same mean square around it. No gradient goes through the stretch.

    Args:
        x (torch.Tensor): The rows :math:`(N, C)`.
        other (torch.Tensor): What they are to be like :math:`(N, C)`.
        part (torch.Tensor): The part of each row :math:`(N)`.
    """
    mean = mean_by_part(other, part)
    x = x - mean_by_part(x, part)
    with torch.no_grad():
        have = mean_by_part(x.square().mean(dim=1, keepdim=True), part)
        want = mean_by_part((other - mean).square().mean(dim=1, keepdim=True), part)
        stretch = (want / have.clamp(min=1e-12)).sqrt()
    return mean + stretch * x


def mean_by_part(x: Tensor, part: Tensor) -> Tensor:
    r"""The mean of the rows of its part, for each row :math:`(N, C)`.

    Args:
        x (torch.Tensor): The rows :math:`(N, C)`.
        part (torch.Tensor): The part of each row :math:`(N)`.
    """
    size = int(part.max()) + 1 if part.numel() > 0 else 0
    return scatter(x, part, dim_size=size, reduce="mean")[part]


def batch_tokens(batch: Data) -> CellTokens:
    r"""Returns the tokens of all cells of a batch, on the CPU."""
    return CellTokens(batch.tokens.cpu(), F.pad(batch.lengths.cpu().cumsum(0), (1, 0)))
