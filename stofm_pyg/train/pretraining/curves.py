import resource
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from sklearn.cluster import KMeans
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from stofm_pyg._files import naming
from stofm_pyg.plot import plot_slice

# Of the progress bar's numbers; TensorBoard has them all.
SHOWN = ("loss", "mcm", "pdr", "cells_per_second")


class PretrainCurves:
    r"""The progress bar of a stage and its curves in TensorBoard, on the first process alone.

    Args:
        folder (Path): Where the curves go.
        stage (str): The name of the stage.
        start (int): The steps done before; later ones that a run that was broken off has written are
            taken out of the curves.
        num_steps (int): The steps of the stage.
        cells_per_step (float): Cells of a step, on average, over all processes; zero where that is not
            known, and then there is no throughput.
        shown (bool): Whether this is the first process.
        bar (bool, optional): Whether to show the progress bar; as :obj:`shown` without.
            (default: :obj:`None`)
    """

    def __init__(
        self,
        folder: Path,
        stage: str,
        start: int,
        num_steps: int,
        cells_per_step: float,
        shown: bool,
        bar: bool | None = None,
    ):
        self.stage = stage
        self.cells_per_step = cells_per_step
        self._folder = folder / stage
        self._writer: SummaryWriter | None = None
        if shown:
            with naming(self._folder):
                # What a run that broke wrote beyond its checkpoint is taken out; without one, all of it.
                purge = start + 1 if start > 0 else 0
                self._writer = SummaryWriter(str(self._folder), purge_step=purge)
        self._bar = tqdm(
            total=num_steps,
            initial=start,
            desc=stage,
            unit="step",
            disable=not (shown if bar is None else bar),
            smoothing=0.05,
        )
        self._since = time.perf_counter()
        self._waited = 0.0

    def timed(self, loader: Iterable[Any]) -> Iterator[Any]:
        r"""Yields what a loader does, and measures how long it makes the training wait."""
        steps = iter(loader)
        while True:
            before = time.perf_counter()
            try:
                step = next(steps)
            except StopIteration:
                return
            self._waited += time.perf_counter() - before
            yield step

    def add(self, step: int, scalars: dict[str, float], group: str = "train"):
        r"""Adds numbers of a step; those of training with throughput, memory and the share of time that
        was spent waiting for data."""
        if group == "train":
            now = time.perf_counter()
            seconds, self._since = now - self._since, now
            scalars = scalars | {"memory_mib": peak_memory() / 2**20}
            if self.cells_per_step > 0:
                scalars["cells_per_second"] = self.cells_per_step / seconds
                scalars["loading_share"] = min(1.0, self._waited / seconds)
            self._waited = 0.0
            self._bar.update(step - self._bar.n)
            self._bar.set_postfix({name: f"{scalars[name]:.4g}" for name in SHOWN if name in scalars})
        if self._writer is not None:
            with naming(self._folder):
                for name, value in scalars.items():
                    self._writer.add_scalar(f"{group}/{name}", value, step)

    def add_picture(self, step: int, name: str, figure: Any):
        r"""Adds a picture."""
        if self._writer is not None:
            with naming(self._folder):
                self._writer.add_figure(name, figure, step)

    def flush(self):
        r"""Writes what there is, so that a checkpoint is never ahead of its curves.

        Raises:
            OSError: It cannot be written.
        """
        if self._writer is not None:
            with naming(self._folder):
                self._writer.flush()

    def restart_clock(self):
        r"""Leaves out of the throughput what was done since the last step."""
        self._since = time.perf_counter()

    def close(self):
        r"""Writes all and ends the progress bar."""
        self._bar.close()
        if self._writer is not None:
            with naming(self._folder):
                self._writer.close()


def peak_memory() -> int:
    r"""The largest memory of this process so far in bytes: that of the GPU if it uses one."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def draw_clusters(pos: Tensor, embedding: Tensor, title: str, num_clusters: int = 8) -> Figure:
    r"""Draws the cells of a slice in the colours of the clusters of their embeddings.

    Args:
        pos (torch.Tensor): Positions :math:`(N, 2)`.
        embedding (torch.Tensor): Embeddings :math:`(N, C)`.
        title (str): The title.
        num_clusters (int, optional): The number of clusters (k-means). (default: :obj:`8`)
    """
    num_clusters = min(num_clusters, pos.size(0))
    cluster = KMeans(num_clusters, n_init=1, random_state=0).fit_predict(embedding.numpy())
    return plot_slice(pos, cluster, title=title).figure
