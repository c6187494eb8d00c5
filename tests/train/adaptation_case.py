"""Cells of three made-up types, each with genes of its own, and a small encoder for them."""

import numpy as np
import torch

from stofm_pyg.data import CellTokens, GeneVocab
from stofm_pyg.models.cell_encoder.model import CellEncoder

GENES_PER_TYPE, NUM_TYPES = 12, 3


def make_vocab():
    genes = [f"G{i:02d}" for i in range(GENES_PER_TYPE * NUM_TYPES)]
    return GeneVocab({g: 2 + i for i, g in enumerate(genes)}, dict.fromkeys(genes, 1.0))


def make_cells(vocab, num_cells=120, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for cell in range(num_cells):
        first = 2 + GENES_PER_TYPE * (cell % NUM_TYPES)
        own = first + rng.permutation(GENES_PER_TYPE)[: rng.integers(8, 12)]
        rows.append(torch.tensor([vocab.cls_token_id, *own.tolist()]))
    ptr = torch.tensor([0, *np.cumsum([len(row) for row in rows])])
    return CellTokens(torch.cat(rows), ptr, vocab.fingerprint)


def make_encoder(vocab, seed=0, **kwargs):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        arguments = {"gene_head": True, "dropout": 0.1, **kwargs}
        return CellEncoder(len(vocab), 16, 1, 2, 32, 32, 8, **arguments)
