from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from benchmarks.peers.cellplm.count_decoder import negative_binomial_loss
from benchmarks.peers.cellplm.model import CellPLMModel

CELL_RATE, GENE_RATE = 0.75, 0.25


@dataclass(frozen=True)
class CountBatch:
    r"""Cells of one slice.

    **Shapes**:
        - :obj:`counts`: :math:`(N, G)`, float32
        - :obj:`pos`: :math:`(N, 2)`, in a unit square
        - :obj:`batch`: :math:`(N)`, the number of the slice
    """

    counts: Tensor
    pos: Tensor
    batch: Tensor

    @staticmethod
    def take(counts: sparse.csr_matrix, pos: Tensor, number: int, rows: np.ndarray) -> "CountBatch":
        r"""Some cells of a slice.

        Args:
            counts (csr_matrix): The counts of the slice.
            pos (torch.Tensor): Its positions.
            number (int): Its number.
            rows (np.ndarray): The cells.
        """
        dense = torch.from_numpy(counts[rows].toarray().astype(np.float32))
        return CountBatch(dense, pos[torch.from_numpy(rows)], torch.full((len(rows),), number))

    def to(self, device: torch.device | str) -> "CountBatch":
        r"""Returns the batch on another device."""
        return CountBatch(*(getattr(self, item.name).to(device) for item in fields(self)))


def random_cells(
    slices: Sequence[tuple[sparse.csr_matrix, Tensor]], max_cells: int, seed: int
) -> Iterator[CountBatch]:
    r"""Endless batches of random cells, each of one slice, larger slices more often.

    Args:
        slices (sequence of tuple): Counts and positions of each slice.
        max_cells (int): The largest number of cells; of a smaller slice, three in ten are left out.
        seed (int): The seed.
    """
    rng = np.random.default_rng(seed)
    sizes = np.array([len(pos) for _, pos in slices])
    while True:
        number = int(rng.choice(len(slices), p=sizes / sizes.sum()))
        size = max(1, min(max_cells, round(0.7 * sizes[number])))
        rows = np.sort(rng.choice(sizes[number], size, replace=False))
        yield CountBatch.take(*slices[number], number, rows)


class MaskedCounts(torch.nn.Module):
    r"""The objective of CellPLM: in most cells some counts are hidden, and the counts of these cells are
    to be recovered, those that were hidden counting twice; and the divergence of the latent space from
    its prior.

    Args:
        model (CellPLMModel): The model, with the slices as its covariate :obj:`"batch"`.
    """

    def __init__(self, model: CellPLMModel):
        super().__init__()
        self.model = model

    def forward(self, batch: CountBatch) -> dict[str, Tensor]:
        r"""Returns the loss of the counts as :obj:`"counts"`, the divergence as :obj:`"divergence"`, and
        their sum as :obj:`"loss"`, in nats of a cell."""
        counts = batch.counts
        asked = torch.rand(counts.size(0), 1).to(counts.device) < CELL_RATE
        hidden = (torch.rand(counts.shape).to(counts.device) < GENE_RATE) & asked
        states = self.model.states(counts.masked_fill(hidden, 0.0), batch.pos)
        z, divergence = self.model.mixture(states)
        mean, dispersion = self.model.decoder(z, {"batch": batch.batch})
        mean = mean * (counts.sum(dim=1, keepdim=True) / mean.sum(dim=1, keepdim=True))
        error = negative_binomial_loss(counts, mean, dispersion) * (1 + hidden.float())
        loss = (error.sum(dim=1, keepdim=True) * asked).sum() / asked.sum().clamp(min=1)
        return {"counts": loss, "divergence": divergence, "loss": loss + divergence}
