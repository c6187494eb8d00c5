import os
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from stofm_pyg.data.errors import unknown_key
from stofm_pyg.plot.colors import class_colors
from stofm_pyg.plot.event_files import read_scalars
from stofm_pyg.plot.picture import picture_path, save_picture

# Of training, what says how a run went; names are those in TensorBoard, without what stands before "/".
SPEED = ("cells_per_second", "memory_mib", "loading_share", "lr", "grad_norm")
# A curve is smoothed over so large a share of its steps.
SHARE = 0.05
COLUMNS, SIZE = 3, (3.6, 2.6)


def plot_training_curves(
    run: str | os.PathLike,
    path: str | os.PathLike | None = None,
    *,
    names: Sequence[str] | None = None,
) -> Figure:
    r"""Draws the curves of a training run: a panel for each number, in it a line for each stage,
    smoothed over a twentieth of its steps, above the numbers themselves; those of held-out slices as
    dots.

    Args:
        run (str or PathLike): The folder of the run, :obj:`out` of :meth:`~stofm_pyg.train.fit` or
            :meth:`~stofm_pyg.train.pretrain`.
        path (str or PathLike, optional): The picture (png, pdf or svg) in an existing folder.
            (default: :obj:`None`)
        names (sequence of str, optional): Which numbers, as :obj:`"loss"`; all losses without.
            (default: :obj:`None`)

    Returns:
        The figure.

    Raises:
        FileNotFoundError: There are no event files in the folder.
        ValueError: The run has no such numbers.
    """
    path = picture_path(path)
    scalars = read_scalars(run)
    known = list(dict.fromkeys(_short(name) for stage in scalars.values() for name in stage))
    if names is None:
        losses = [name for name in known if name not in SPEED] or known
        names = sorted(losses, key=lambda name: name != "loss")
    for name in names:
        if name not in known:
            raise unknown_key(name, "the run", known)
    if not names:
        raise ValueError(f"The run '{run}' has no numbers yet; wait for its first steps")
    stages = list(scalars)
    colors = dict(zip(stages, map(tuple, class_colors(len(stages))), strict=True))
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(SIZE[0] * columns + 0.4, SIZE[1] * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat[len(names) :]:
        ax.remove()
    for ax, name in zip(axes.flat, names, strict=False):
        for stage in stages:
            for full, (steps, values) in scalars[stage].items():
                if _short(full) == name:
                    _draw(ax, full, steps, values, stage, colors[stage])
        ax.set_title(name, fontsize=10)
        ax.set_xlabel("step", fontsize=9)
        ax.tick_params(labelsize=8)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="#EEEEEE", lw=0.6)
        ax.set_axisbelow(True)
    handles = {}
    for ax in axes.flat[: len(names)]:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        handles=list(handles.values()), labels=list(handles), loc="outside lower center",
        ncols=min(len(handles), 4), frameon=False, fontsize=9,
    )  # fmt: skip
    return save_picture(figure, path)


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def _draw(ax, full: str, steps: np.ndarray, values: np.ndarray, stage: str, color):
    group = full.rpartition("/")[0]
    good = np.isfinite(values)
    steps, values = steps[good], values[good]
    if group in ("train", ""):
        ax.plot(steps, values, color=color, lw=0.6, alpha=0.3)
        ax.plot(steps, smoothed(values), color=color, lw=1.6, label=stage)
    else:
        ax.plot(steps, values, "o--", color=color, ms=3.5, lw=0.8, label=f"{stage}, {group}")


def smoothed(values: np.ndarray) -> np.ndarray:
    r"""Returns the mean of the values around each, fewer at the ends."""
    reach = int(SHARE * len(values) / 2)
    total = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    reach = np.minimum(reach, np.minimum(place, len(values) - 1 - place))
    return (total[place + reach + 1] - total[place - reach]) / (2 * reach + 1)
