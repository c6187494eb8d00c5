r"""A picture of embeddings in two dimensions."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from stofm_pyg._files import write_atomically
from stofm_pyg.plot import plot_slice

log = logging.getLogger(__name__)

MAX_CELLS = 5_000
INCHES = (5.0, 4.2)
_said: list[str] = []


def draw_umap(
    x: np.ndarray, panels: Mapping[str, tuple[np.ndarray, Sequence[str]]], path: Path, seed: int = 0
):
    r"""Draws cells by the UMAP of their embeddings, a panel for each kind of classes. Without the
    package :obj:`umap-learn` there is no picture, and a word says so once.

    Args:
        x (np.ndarray): Embeddings :math:`(N, D)`.
        panels (dict): For each title the class numbers :math:`(N)`, -1 where unknown, and the names of
            the classes.
        path (Path): The picture.
        seed (int, optional): The seed of UMAP, and of the choice among many cells. (default: :obj:`0`)
    """
    try:
        from umap import UMAP
    except ImportError:
        if not _said:
            log.warning('No UMAP pictures: install them by pip install "stofm-pyg[benchmarks]"')
            _said.append("umap")
        return
    chosen = np.arange(len(x))
    if len(x) > MAX_CELLS:
        chosen = np.sort(np.random.default_rng(seed).choice(len(x), MAX_CELLS, replace=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # That a seed takes one thread, and the like.
        flat = UMAP(random_state=seed, n_jobs=1).fit_transform(x[chosen])
    width, height = INCHES
    figure = Figure(figsize=(width * len(panels), height), layout="constrained")
    for ax, (title, (values, classes)) in zip(
        figure.subplots(1, len(panels)), panels.items(), strict=True
    ):
        plot_slice(flat, values[chosen], classes=classes, ax=ax, title=title)
    write_atomically(path, lambda part: figure.savefig(part, format="png", dpi=110))
