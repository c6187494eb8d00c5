from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.methods.peer import Peer, encode_tokens
from benchmarks.peers.slice_cells import SliceCells
from stofm_pyg.data import CellTokens, GeneVocab, RankValueTokenizer
from stofm_pyg.loader import TokenBatch
from stofm_pyg.models import CellEncoder
from stofm_pyg.models.cell_encoder import keep_angles, spread_embeddings
from stofm_pyg.train import PRESETS, AdaptationSettings, AdaptationTask


class Geneformer(Peer):
    r"""`"Geneformer" <https://doi.org/10.1038/s41586-023-06139-9>`_: a
    :class:`~stofm_pyg.models.CellEncoder` of the same size as SToFM's, trained on masked genes alone;
    the embedding is the mean over the genes of a cell.

    Published weights are a folder that transformers can read, with Geneformer's vocabulary in it or in
    its folder :obj:`geneformer`. See :class:`Peer` for arguments.
    """

    presets = {
        "tiny": {"steps": 60, "max_tokens": 2048, "lr": 5e-3},
        "small": {"steps": 300, "max_tokens": 4096, "lr": 2e-3},
        "paper": {"steps": 10_000, "max_tokens": 65_536, "lr": 1e-4},
    }

    def __init__(self, preset: str = "small", device: str = "auto", checkpoint: str | None = None):
        super().__init__(preset, device, checkpoint)
        self.preset = preset

    def fit(self, slices: Sequence[SliceCells], seed: int, device: torch.device) -> CellEncoder:
        r"""Trains a model from scratch on some slices."""
        self.vocab = GeneVocab.from_slices([part.adata for part in slices])
        sizes = asdict(PRESETS[self.preset].cell_encoder)
        encoder = CellEncoder(len(self.vocab), **sizes, gene_head=True).to(device)
        spread_embeddings(encoder)
        keep_angles(encoder)
        values = self.values
        settings = AdaptationSettings(
            self.num_steps, values["max_tokens"], values["lr"], contrastive_weight=0.0, min_genes=2,
            seed=seed,
        )  # fmt: skip
        cells = CellTokens.concat([self.tokens(encoder, part) for part in slices])
        task = AdaptationTask(cells, self.vocab, settings)
        self.train(task.module(encoder), task.batches(), seed)
        return encoder

    def load(self, slices: Sequence[SliceCells]) -> CellEncoder:
        r"""Reads the model of :attr:`checkpoint`."""
        folder = Path(self.checkpoint).expanduser()
        self.vocab = GeneVocab.from_geneformer(folder)
        return CellEncoder.from_geneformer(folder, self.vocab, gene_head=True)

    def encode(self, model: CellEncoder, part: SliceCells, device: torch.device) -> Tensor:
        r"""Embeds the cells of a slice :math:`(N, D)`."""
        return encode_tokens(lambda b: mean_over_genes(model, b), self.tokens(model, part), device)

    def tokens(self, encoder: CellEncoder, part: SliceCells) -> CellTokens:
        r"""The ranked genes of each cell, CLS first."""
        return RankValueTokenizer(self.vocab, encoder.max_length)(part.adata)


def mean_over_genes(encoder: CellEncoder, batch: TokenBatch) -> Tensor:
    r"""The mean state :math:`(B, C)` of the genes of cells, without CLS; that of CLS where a cell has no
    gene."""
    states, rows = encoder.hidden_states(batch.tokens, batch.lengths), batch.rows
    genes = torch.ones_like(rows, dtype=torch.bool)
    genes[batch.ptr[:-1][batch.lengths > 1]] = False
    out = states.new_zeros(batch.lengths.numel(), states.size(1))
    out.index_add_(0, rows[genes], states[genes])
    return out / batch.count(genes).clamp(min=1).unsqueeze(1)
