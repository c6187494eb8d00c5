"""Two small slices of generated tissue, and models that are fitted to them in a second."""

from functools import lru_cache

import torch

from stofm_pyg.data import GeneVocab, SliceSettings
from stofm_pyg.datasets import generate_tissue
from stofm_pyg.models import SToFM
from stofm_pyg.train import PRESETS, PretrainConfig

SETTINGS = SliceSettings(radius=2.5, max_clusters=8, cells_per_part=40, num_features=5)
STAGE = {"num_epochs": 2, "max_steps": 4, "min_cells": 30, "max_cells": 60, "lr": 1e-2,
         "batch_size": 2, "objectives": {"mcm": 1.0, "pdr": 0.01}, "save_every": 2}  # fmt: skip
CONFIG = {
    "cell_encoder": {
        "hidden_channels": 8, "num_layers": 1, "heads": 2, "ffn_channels": 8, "max_length": 12,
        "out_channels": 6, "dropout": 0.1,
    },
    "model": {
        "hidden_channels": 8, "num_layers": 2, "heads": 2, "ffn_channels": 8, "num_gaussians": 4,
        "dropout": 0.1,
    },
    "adaptation": {"num_steps": 2, "max_tokens": 256},
    "stage_1": STAGE,
    "stage_2": {**STAGE, "num_epochs": 1, "max_steps": 2, "batch_size": 1},
    "read_out": {"layers": "all", "readout": "cell", "part_shares": [1.0]},
}  # fmt: skip

FULL = PretrainConfig.from_dict({**CONFIG, "held_out": 0}, PRESETS["tiny"])


def make_tissue(num_slices=2, cells_per_slice=100, seed=0, num_genes=40):
    return generate_tissue(
        num_slices, cells_per_slice, num_genes=num_genes, num_unobserved=0, num_domains=3,
        num_cell_types=3, seed=seed,
    )  # fmt: skip


def fit(data, **kwargs):
    options = {"settings": SETTINGS, "preset": "tiny", "config": CONFIG, "device": "cpu",
               "num_workers": 0, "progress": False}  # fmt: skip
    return SToFM.fit(data, **{**options, **kwargs})


@lru_cache
def fitted(features="pca"):
    """A model that was fitted to `make_tissue()`. Not to be changed."""
    adata = make_tissue()
    vocab = GeneVocab.from_slices([adata]) if features == "tokens" else None
    return fit(adata, features=features, vocab=vocab)


def assert_same(one, other):
    a, b = one.state_dict(), other.state_dict()
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key


def differs(one, other):
    return not torch.equal(one.encoder.lin_in.weight, other.encoder.lin_in.weight)
