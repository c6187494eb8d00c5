import importlib.util
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from anndata import AnnData

from benchmarks.data import BenchmarkData
from benchmarks.peers.slice_cells import SliceCells, read_slices
from stofm_pyg.data.slices.components import log_normalize
from stofm_pyg.train import find_device
from stofm_pyg.train.engine.random_state import seeded
from stofm_pyg.transforms.neighbors import nearest_neighbor_spacing

PRESETS = {
    "tiny": {"max_epochs": 3, "num_layers": 2, "hidden_size": 32, "heads": 4, "num_prototypes": 64},
    "small": {"max_epochs": 10, "num_layers": 4, "hidden_size": 64, "heads": 4, "num_prototypes": 128},
    "paper": {"max_epochs": 20},
}
LATENT = "novae_latent"
# It was made for microns, at cells ten or so apart; longer edges than eight spacings are cut.
SPACING, RADIUS = 10.0, 8.0
MIN_GENES = 20  # Of the package.
# The package's batches; it leaves out one that is not full.
BATCH_SIZE, MIN_BATCHES = 256, 4


class Novae:
    r"""`"Novae" <https://doi.org/10.1038/s41592-025-02899-6>`_, a graph neural network that is trained
    to tell neighbourhoods of cells apart, from scratch, by its own package.

    Args:
        preset (str, optional): The size of the model and its training. (default: :obj:`"small"`)
        device (str, optional): Where to train. (default: :obj:`"auto"`)

    Raises:
        ImportError: If the package :obj:`novae` is not installed.
        ValueError: If there is no such preset.
    """

    learns = seeded = True

    def __init__(self, preset: str = "small", device: str = "auto"):
        if importlib.util.find_spec("novae") is None:
            raise ImportError(
                "The row 'novae' needs the package 'novae', which is not installed; get it by "
                'pip install "stofm-pyg[novae]"'
            )
        if preset not in PRESETS:
            raise ValueError(f"Unknown preset '{preset}'; known: {', '.join(PRESETS)}")
        self.values = dict(PRESETS[preset])
        self.max_epochs = self.values.pop("max_epochs")
        self.device = device
        #: Its number of parameters.
        self.info: dict[str, float] = {}

    def embed(
        self, data: BenchmarkData, seed: int = 0, without: int | None = None
    ) -> list[np.ndarray]:
        r"""The embedding of the cells of each slice; a cell that lies alone has zeros."""
        import novae

        parts, device = read_slices(data), find_device(self.device)
        if parts[0].adata.n_vars < MIN_GENES:
            raise ValueError(
                f"Novae needs {MIN_GENES} genes or more that all slices have (got "
                f"{parts[0].adata.n_vars}); leave out the row 'novae'"
            )
        slices = [_prepared(part, f"slice {number}") for number, part in enumerate(parts)]
        where = {"accelerator": "gpu" if device.type == "cuda" else "cpu", "num_workers": 0}
        with _all_seeded(device, seed):
            for adata in slices:
                novae.spatial_neighbors(
                    adata, coord_type="generic", radius=RADIUS * SPACING, verbose=False
                )
            seen = [adata for number, adata in enumerate(slices) if number != without]
            cells = sum(adata.n_obs for adata in seen)
            size = max(1, min(BATCH_SIZE, cells // MIN_BATCHES))
            model = novae.Novae(seen, batch_size=size, **self.values)
            model.fit(max_epochs=self.max_epochs, enable_progress_bar=False, **where)
            model.compute_representations(slices, zero_shot=without is not None, **where)
        self.info = {"parameters": sum(p.numel() for p in model.parameters())}
        return [np.nan_to_num(np.asarray(adata.obsm[LATENT], dtype=np.float32)) for adata in slices]


def _prepared(part: SliceCells, name: str) -> AnnData:
    # What the package does to counts itself, if it takes them for counts.
    totals = np.asarray(part.counts.sum(axis=1)).reshape(-1)
    expression = log_normalize(part.counts, float(np.median(totals)))
    out = AnnData(expression, part.adata.obs.copy(), part.adata.var.copy())
    out.obs_names = [f"{name} {cell}" for cell in out.obs_names]
    pos = part.pos.double()
    out.obsm["spatial"] = (SPACING / nearest_neighbor_spacing(pos) * pos).numpy()
    return out


@contextmanager
def _all_seeded(device: torch.device, seed: int) -> Iterator[None]:
    # The package draws from all three generators.
    states = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        with seeded(device, [seed]):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
