import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from benchmarks.methods.peer import Peer
from benchmarks.peers.cellplm import CellPLMModel, CountBatch, MaskedCounts
from benchmarks.peers.cellplm.masked_counts import random_cells
from benchmarks.peers.checkpoint import check_system, find_file, load_state, read_state
from benchmarks.peers.panel import FIRST, panel_vocab, variable_genes
from benchmarks.peers.slice_cells import SliceCells

MAX_GENES = 2000
# A norm of the input that is made, but never called.
UNUSED = ("embedder.norm0.*",)


class CellPLM(Peer):
    r"""`"CellPLM" <https://openreview.net/forum?id=BKXvPDekud>`_: the cells of a slice are the tokens of
    a transformer that recovers hidden counts; the embedding is a place in a mixture of Gaussians.

    Published weights are a folder with the :obj:`.ckpt` and its :obj:`.config.json`, which has the
    genes.

    Args:
        positions (bool, optional): Adds the position of a cell to its input. The paper has it, the
            released code multiplies it by zero. (default: :obj:`False`)
        **kwargs (optional): See :class:`Peer`.
    """

    presets = {
        "tiny": {
            "sizes": {
                "channels": 32, "num_layers": 2, "heads": 2, "latent_channels": 16,
                "latent_hidden": 32, "decoder_channels": 32, "dropout": 0.1,
            },
            "steps": 80, "max_cells": 200, "lr": 5e-3,
        },
        "small": {
            "sizes": {
                "channels": 128, "num_layers": 3, "heads": 4, "latent_channels": 64,
                "latent_hidden": 128, "decoder_channels": 128, "dropout": 0.1,
            },
            "steps": 400, "max_cells": 500, "lr": 2e-3,
        },
        "paper": {"sizes": {}, "steps": 10_000, "max_cells": 4000, "lr": 2e-4},
    }  # fmt: skip

    def __init__(
        self,
        preset: str = "small",
        device: str = "auto",
        checkpoint: str | None = None,
        positions: bool = False,
    ):
        super().__init__(preset, device, checkpoint)
        self.positions = positions

    def fit(self, slices: Sequence[SliceCells], seed: int, device: torch.device) -> CellPLMModel:
        r"""Trains a model from scratch on some slices."""
        columns = variable_genes([part.counts for part in slices], MAX_GENES)
        self.vocab = panel_vocab(slices[0].adata.var_names[columns])
        covariates = {"batch": len(slices)}
        sizes = self.values["sizes"]
        model = CellPLMModel(len(columns), covariates=covariates, positions=self.positions, **sizes)
        parts = [(self.counts(model, part), unit_square(part.pos)) for part in slices]
        batches = random_cells(parts, self.values["max_cells"], seed)
        self.train(MaskedCounts(model).to(device), batches, seed)
        return model

    def load(self, slices: Sequence[SliceCells]) -> CellPLMModel:
        r"""Reads the model of :attr:`checkpoint`."""
        folder = Path(self.checkpoint).expanduser()
        path = find_file(folder, ("*.ckpt", "*.pt", "*.safetensors"), "weights of CellPLM")
        state, _ = read_state(path, under="model_state_dict")
        check_system(state, "CellPLM", path)
        config_path = find_file(folder, ("*.config.json", "config.json"), "config of CellPLM")
        config = json.loads(config_path.read_text())
        heads = int(config.get("enc_head", 8))
        model = CellPLMModel.like(state, str(path), heads, self.positions)
        load_state(model, state, path, UNUSED)
        self.vocab = panel_vocab(config["gene_list"])
        if len(self.vocab.genes) != len(model.embedder.feat_enc.emb):
            raise ValueError(
                f"'{config_path}' names {len(self.vocab.genes)} genes, and '{path}' has weights of "
                f"{len(model.embedder.feat_enc.emb)}; pass files of one checkpoint"
            )
        return model

    def encode(self, model: CellPLMModel, part: SliceCells, device: torch.device) -> Tensor:
        r"""Embeds the cells of a slice :math:`(N, D)`, all of which see each other."""
        counts = self.counts(model, part)
        batch = CountBatch.take(counts, unit_square(part.pos), 0, np.arange(len(part.pos))).to(device)
        return model(batch.counts, batch.pos)

    def counts(self, model: CellPLMModel, part: SliceCells) -> sparse.csr_matrix:
        r"""The counts of the genes of the model, zero where the slice has no such gene."""
        counts, tokens = part.counts_of(self.vocab)
        shape = (counts.shape[1], len(model.embedder.feat_enc.emb))
        place = (np.arange(len(tokens)), tokens - FIRST)
        return counts @ sparse.csr_matrix((np.ones(len(tokens), np.float32), place), shape=shape)


def unit_square(pos: Tensor) -> Tensor:
    r"""Positions :math:`(N, 2)`, each coordinate from zero to one."""
    low, high = pos.min(dim=0).values, pos.max(dim=0).values
    return (pos - low) / (high - low).clamp(min=1e-9)
