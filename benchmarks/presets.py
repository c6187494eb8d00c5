r"""Sizes of the model and of its pre-training."""

from dataclasses import dataclass

from benchmarks.encoder_preset import EncoderPreset


@dataclass(frozen=True)
class Preset:
    r"""The settings of SToFM in a benchmark.

    Args:
        hidden_channels (int): Size of an embedding.
        num_layers (int): Number of layers.
        heads (int): Number of attention heads.
        num_gaussians (int): Number of basis functions of a distance.
        num_passes (float): How often pre-training sees a cell, on average.
        batch_size (int): Regions in a batch.
        min_cells (int): The smallest region.
        max_cells (int): The largest region.
        cells_per_part (int): Cells in a subpatch when slices are embedded.
        lr (float): The peak learning rate.
        num_slices (int): Slices of generated tissue, where no data is given.
        cells_per_slice (int): Their number of cells.
        encoder (EncoderPreset): The cell encoder, where features come from tokens.
    """

    hidden_channels: int = 64
    num_layers: int = 3
    heads: int = 4
    num_gaussians: int = 16
    num_passes: float = 60
    batch_size: int = 1
    min_cells: int = 150
    max_cells: int = 500
    cells_per_part: int = 1000
    lr: float = 2e-3
    num_slices: int = 3
    cells_per_slice: int = 1000
    encoder: EncoderPreset = EncoderPreset()

    def num_steps(self, num_cells: int) -> int:
        r"""Pre-training steps, one batch each, for slices of so many cells together."""
        cells_per_step = self.batch_size * (self.min_cells + self.max_cells) / 2
        return max(1, round(self.num_passes * num_cells / cells_per_step))


PRESETS = {
    "tiny": Preset(
        hidden_channels=32, num_layers=2, num_passes=8, num_slices=2, cells_per_slice=400,
        encoder=EncoderPreset(
            hidden_channels=32, heads=2, out_channels=32, max_length=256, num_steps=30, max_tokens=3000
        ),
    ),
    "small": Preset(),
    "paper": Preset(
        hidden_channels=256, num_layers=4, heads=8, num_gaussians=128, num_passes=40,
        batch_size=4, min_cells=500, max_cells=1000, cells_per_slice=10_000, lr=3e-4,
        encoder=EncoderPreset(
            hidden_channels=256, num_layers=6, out_channels=256, max_length=2048, num_steps=4000,
            max_tokens=16_384, lr=5e-4,
        ),
    ),
}  # fmt: skip
