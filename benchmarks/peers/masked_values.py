import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.peers._value_bins import NUM_BINS
from benchmarks.peers.padding import pad_rows, padding_of
from benchmarks.peers.scgpt import MASKED_VALUE, NO_VALUE, ScGPTModel
from stofm_pyg.loader import TokenBatch

RATIOS = (0.25, 0.5, 0.75)


class MaskedValues(torch.nn.Module):
    r"""The objective of scGPT: values are hidden, of one share of the genes in each batch, and predicted
    both from the states of their genes and from the embedding of the cell.

    A token is a gene and a bin, :obj:`gene * 51 + bin`.

    Args:
        model (ScGPTModel): The model.
        cls_token (int): The token that comes before each cell.
        pad_token (int): The token of padding.
    """

    def __init__(self, model: ScGPTModel, cls_token: int, pad_token: int):
        super().__init__()
        self.model = model
        self.cls_token = cls_token
        self.pad_token = pad_token

    def rows(self, batch: TokenBatch) -> tuple[Tensor, Tensor, Tensor]:
        r"""The genes, values and padding of a batch, each :math:`(B, L)`, CLS first."""
        padding = F.pad(padding_of(batch), (1, 0))
        genes = F.pad(pad_rows(batch.tokens // NUM_BINS, batch, self.pad_token), (1, 0))
        genes[:, 0] = self.cls_token
        values = F.pad(pad_rows((batch.tokens % NUM_BINS).float(), batch, NO_VALUE), (1, 0))
        values[:, 0] = NO_VALUE
        return genes, values, padding

    def forward(self, batch: TokenBatch) -> dict[str, Tensor]:
        r"""Returns the mean squared errors of both predictions as :obj:`"value"` and :obj:`"cell"`, in
        bins, and their sum as :obj:`"loss"`."""
        genes, values, padding = self.rows(batch)
        ratio = RATIOS[int(torch.randint(len(RATIOS), ()))]
        hidden = (torch.rand(values.shape).to(values.device) < ratio) & ~padding
        hidden[:, 0] = False
        states = self.model(genes, values.masked_fill(hidden, MASKED_VALUE), padding)
        gene = self.model.encoder(genes)
        losses = {
            "value": self._error(self.model.decoder(states), values, hidden),
            "cell": self._error(self.model.mvc_decoder(states[:, 0], gene), values, hidden),
        }
        return {**losses, "loss": losses["value"] + losses["cell"]}

    @staticmethod
    def _error(prediction: Tensor, values: Tensor, hidden: Tensor) -> Tensor:
        return ((prediction - values).square() * hidden).sum() / hidden.sum().clamp(min=1)
