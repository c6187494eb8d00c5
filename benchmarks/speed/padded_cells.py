import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from stofm_pyg.data import CellTokens
from stofm_pyg.models.cell_encoder.model import CellEncoder

BATCH_SIZE = 32


class PaddedCells:
    r"""Embeds cells in the way of the official code: in batches of 32 cells in file order, padded to the
    longest cell of the batch, with an attention mask, through the BERT of transformers.

    Args:
        encoder (CellEncoder): The weights.
        cell_tokens (CellTokens): The cells.
        pad_token_id (int, optional): The token of padding. (default: :obj:`0`)
    """

    def __init__(self, encoder: CellEncoder, cell_tokens: CellTokens, pad_token_id: int = 0):
        self.encoder = encoder.eval()
        self.cells = [cell_tokens[i].long() for i in range(len(cell_tokens))]
        self.pad_token_id = pad_token_id

    @torch.no_grad()
    def __call__(self) -> Tensor:
        r"""Embeds all cells :math:`(N, C)`."""
        device = self.encoder.proj.weight.device
        out = []
        for start in range(0, len(self.cells), BATCH_SIZE):
            cells = self.cells[start : start + BATCH_SIZE]
            tokens = pad_sequence(cells, batch_first=True, padding_value=self.pad_token_id)
            mask = pad_sequence([torch.ones_like(cell) for cell in cells], batch_first=True)
            states = self.encoder.bert(tokens.to(device), mask.to(device)).last_hidden_state
            out.append(F.normalize(self.encoder.proj(states[:, 0]), dim=-1))
        return torch.cat(out).cpu()

    def padding(self) -> float:
        r"""The share of padding in what is computed."""
        lengths = [len(cell) for cell in self.cells]
        batches = [lengths[i : i + BATCH_SIZE] for i in range(0, len(lengths), BATCH_SIZE)]
        return 1 - sum(lengths) / sum(len(batch) * max(batch) for batch in batches)
