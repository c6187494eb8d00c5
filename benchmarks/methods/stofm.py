import signal
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import Compose

from benchmarks.methods.spatial_signal import scale_by_spatial_signal
from benchmarks.presets import PRESETS, Preset
from stofm_pyg.loader import RandomRegions
from stofm_pyg.models import SToFM
from stofm_pyg.nn import NodeType, start_local
from stofm_pyg.train import (
    MaskedCellModelling,
    PairwiseDistanceRecovery,
    Pretraining,
    Trainer,
)
from stofm_pyg.transforms import (
    ConnectVirtualCells,
    JitterFeatures,
    MaskCells,
    PerturbPositions,
    SpatialRadiusGraph,
)


class SToFMPretrained:
    r"""SToFM, pre-trained without labels on the very slices that it then embeds.

    Masked cell modelling and pairwise distance recovery on random regions, of which no two are the
    same; the embedding is what the model says of a cell's surroundings while the cell itself is masked.

    Args:
        preset (Preset, optional): The sizes. (default: the preset :obj:`"small"`)
        conv (str, optional): The graph operator. (default: :obj:`"SE2TransformerConv"`)
        radius (float, optional): The radius of the graph of the slices. (default: :obj:`8.0`)
        device (torch.device, optional): Where to train. (default: :obj:`"cpu"`)
    """

    def __init__(
        self,
        preset: Preset = PRESETS["small"],
        conv: str = "SE2TransformerConv",
        radius: float = 8.0,
        device: torch.device | None = None,
    ):
        self.preset = preset
        self.conv = conv
        self.radius = radius
        self.device = device or torch.device("cpu")

    def work(self, slices: Sequence[Data]) -> int:
        r"""The number of pre-training steps."""
        num_cells = sum(int((data.node_type == NodeType.CELL).sum()) for data in slices)
        return self.preset.num_steps(num_cells)

    def embed(
        self, slices: Sequence[Data], seed: int, on_step: Callable[[int], None], writer
    ) -> list[np.ndarray]:
        slices = scale_by_spatial_signal(slices)
        model = self.pretrain(slices, seed, on_step, writer)
        # Borders of subpatches and choice of masks are chance; their mean over some draws is less so.
        draws = [
            model.embed(slices, round(share * self.preset.cells_per_part), readout="context", seed=seed)
            for share in SUBPATCH_SHARES
        ]
        return [torch.stack(rows).mean(dim=0).numpy() for rows in zip(*draws, strict=True)]

    def pretrain(self, slices: Sequence[Data], seed: int, on_step, writer) -> SToFM:
        r"""Trains a model from scratch; :obj:`writer` takes the losses for TensorBoard."""
        preset, num_steps = self.preset, self.work(slices)
        in_channels = slices[0].x.size(1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = SToFM(
                in_channels,
                preset.hidden_channels,
                preset.num_layers,
                self.conv,
                heads=preset.heads,
                ffn_channels=2 * preset.hidden_channels,
                num_gaussians=preset.num_gaussians,
                max_distance=self.radius,
                dropout=0.1,
                pre_norm=True,
            )
            start_local(model.encoder, self.radius)
            objectives = {
                "mcm": MaskedCellModelling(preset.hidden_channels, in_channels),
                "pdr": PairwiseDistanceRecovery(preset.heads, 2 / 3 * self.radius),
            }
            module = Pretraining(model, objectives, weights={"pdr": PDR_WEIGHT}).to(self.device)
            regions = RandomRegions(
                slices,
                num_steps * preset.batch_size,
                preset.min_cells,
                preset.max_cells,
                transform=pretraining_transform(self.radius),
                seed=seed,
            )

            def report(step: int, losses: dict[str, float]):
                on_step(1)
                if step == 1 or step % 10 == 0 or step == num_steps:
                    for name, value in losses.items():
                        writer.add_scalar(f"pretraining/{name}", value, step)

            # One process makes the regions of the next steps meanwhile.
            loader = DataLoader(
                regions, preset.batch_size, num_workers=1, worker_init_fn=_leave_interrupts
            )
            Trainer(module, preset.lr, on_step=report).fit(loader, num_steps)
        return model


# The sizes of subpatches to average over, as shares of the preset's.
SUBPATCH_SHARES = (1.0, 0.7, 0.5)
# The squared error of a distance is an order of magnitude above that of a scaled feature.
PDR_WEIGHT = 0.01


def pretraining_transform(radius: float) -> Compose:
    r"""The augmentations and objectives of a region, and its graph before and after cells moved."""
    return Compose(
        [
            SpatialRadiusGraph(radius),
            PerturbPositions(rate=0.1),
            SpatialRadiusGraph(radius),
            MaskCells(rate=0.1),
            JitterFeatures(std=1.0),
            ConnectVirtualCells(),
        ]
    )


def _leave_interrupts(worker: int):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that trains.

