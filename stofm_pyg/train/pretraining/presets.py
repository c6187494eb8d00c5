from stofm_pyg.train.adaptation.settings import AdaptationSettings
from stofm_pyg.train.pretraining.config import (
    CellEncoderConfig,
    ModelConfig,
    PretrainConfig,
    StageConfig,
)

#: "paper" has the sizes of the paper; the others are for little data and small machines, which need
#: more passes over it.
PRESETS = {
    "tiny": PretrainConfig(
        cell_encoder=CellEncoderConfig(
            hidden_channels=64, num_layers=2, heads=4, ffn_channels=128, max_length=64, out_channels=64
        ),
        model=ModelConfig(
            hidden_channels=64, num_layers=2, heads=4, ffn_channels=128, num_gaussians=16,
            local_start=True,
            center=True,
        ),
        adaptation=AdaptationSettings(num_steps=600),
        adaptation_cells=50_000,
        stage_1=StageConfig(num_epochs=8, lr=2e-3, batch_size=1, sigma=2.0),
        stage_2=StageConfig(num_epochs=1, lr=2e-4, batch_size=1, sigma=2.0, max_tokens=65_536),
    ),
    "small": PretrainConfig(
        cell_encoder=CellEncoderConfig(
            hidden_channels=128, num_layers=3, heads=4, ffn_channels=256, max_length=512,
            out_channels=128,
        ),
        model=ModelConfig(
            hidden_channels=128, num_layers=3, heads=8, ffn_channels=256, num_gaussians=32,
            local_start=True,
            center=True,
        ),
        adaptation=AdaptationSettings(num_steps=1000),
        stage_1=StageConfig(num_epochs=8, lr=1e-3, batch_size=2, sigma=2.0),
        stage_2=StageConfig(num_epochs=2, lr=3e-4, batch_size=2, sigma=2.0),
    ),
    "paper": PretrainConfig(adaptation=AdaptationSettings(num_steps=10_000, max_tokens=65_536)),
}  # fmt: skip
