from stofm_pyg.train.adaptation.settings import AdaptationSettings
from stofm_pyg.train.pretraining.config import (
    CellEncoderConfig,
    ModelConfig,
    PretrainConfig,
    StageConfig,
)

# Random regions of little data, and what their cells are to recover.
REGIONS = {
    "min_cells": 150,
    "max_cells": 500,
    "batch_size": 1,
    "mask_rate": 0.3,
    "jitter": 0.5,
    "objectives": {"mcm": 1.0, "rings": 1.0},
}

# A cell encoder from scratch begins as a bag of genes. Adaptation to few cells only takes from that, and
# so does a second stage at larger steps (docs/results.md).
#: "paper" has the sizes of the paper; the others are for little data and small machines, which need
#: more passes over it. "tiny" shows that everything works.
PRESETS = {
    "tiny": PretrainConfig(
        cell_encoder=CellEncoderConfig(
            hidden_channels=32, num_layers=2, heads=2, ffn_channels=64, max_length=128, out_channels=32
        ),
        model=ModelConfig(
            hidden_channels=32, num_layers=2, heads=4, ffn_channels=64, num_gaussians=16,
            local_start=True,
        ),
        standardize=True,
        adaptation=AdaptationSettings(num_steps=0, max_tokens=3000, lr=1e-4),
        adaptation_cells=50_000,
        stage_1=StageConfig(num_epochs=8, max_steps=200, lr=2e-3, **REGIONS),
        stage_2=StageConfig(num_epochs=1, max_steps=50, lr=3e-5, **REGIONS),
    ),
    "small": PretrainConfig(
        cell_encoder=CellEncoderConfig(
            hidden_channels=128, num_layers=3, heads=4, ffn_channels=256, max_length=512,
            out_channels=128,
        ),
        model=ModelConfig(
            hidden_channels=64, num_layers=3, heads=4, ffn_channels=128, num_gaussians=16,
            local_start=True,
        ),
        standardize=True,
        adaptation=AdaptationSettings(num_steps=0, lr=1e-4),
        stage_1=StageConfig(num_epochs=60, max_steps=1000, lr=2e-3, **REGIONS),
        # On little data the second stage gained nothing, see docs/results.md.
        stage_2=StageConfig(num_epochs=0, max_steps=300, lr=3e-5, **REGIONS),
    ),
    "paper": PretrainConfig(adaptation=AdaptationSettings(num_steps=10_000, max_tokens=65_536, lr=1e-4)),
}  # fmt: skip
