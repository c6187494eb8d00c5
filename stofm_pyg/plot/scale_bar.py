r"""How long things are on a picture."""

from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes

from stofm_pyg.transforms.neighbors import neighbor_spacing

# The most that a bar takes of the width of the tissue.
SHARE = 0.3
COLOR = "#333333"


class Length(NamedTuple):
    r"""How long the unit of positions is."""

    #: The length.
    value: float
    #: What it is measured in: :obj:`"µm"` or :obj:`"cell spacings"`.
    name: str


def unit_length(
    pos: np.ndarray, unit: str | None = None, microns_per_unit: float | None = None
) -> Length | None:
    r"""Returns how long the unit of positions is: in microns where that is known, else in spacings, the
    median distance of a cell to the nearest other one.

    Args:
        pos (np.ndarray): Positions :math:`(N, 2)`.
        unit (str, optional): Their unit, as :obj:`data.unit` has it. (default: :obj:`None`)
        microns_per_unit (float, optional): How many microns it is. (default: :obj:`None`)

    Returns:
        The length, or :obj:`None` where all cells lie at one place.
    """
    if microns_per_unit is not None:
        if not 0 < microns_per_unit < float("inf"):
            raise ValueError(f"'microns_per_unit' must be positive and finite (got {microns_per_unit})")
        return Length(float(microns_per_unit), "µm")
    if unit == "micron":
        return Length(1.0, "µm")
    if unit == "spacing":
        return Length(1.0, "cell spacings")
    if len(pos) < 2 or (pos == pos[0]).all():
        return None
    return Length(1.0 / neighbor_spacing(torch.as_tensor(pos)).length, "cell spacings")


def round_length(longest: float) -> float:
    r"""Returns the longest length of the kind 1, 2 or 5 times a power of ten up to a given one."""
    power = 10.0 ** np.floor(np.log10(longest))
    return float(max(step * power for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9)))


def add_scale_bar(ax: Axes, pos: np.ndarray, length: Length | None):
    r"""Draws a bar of a round length under the tissue, and says how long it is.

    Args:
        ax (Axes): Where the cells are drawn.
        pos (np.ndarray): Their positions :math:`(N, 2)`.
        length (Length, optional): How long the unit of the positions is; without, no bar is drawn.
    """
    if length is None or len(pos) == 0:
        return
    (left, low), (right, high) = pos.min(axis=0), pos.max(axis=0)
    extent = right - left if right > left else high - low
    if extent <= 0:
        return
    told = round_length(SHARE * extent * length.value)
    bar = told / length.value
    margin = 0.02 * max(right - left, high - low)
    down = -1 if not ax.yaxis_inverted() else 1
    y = (low if down < 0 else high) + down * 2.5 * margin
    style = {"color": COLOR, "lw": 2, "solid_capstyle": "butt", "clip_on": False}
    (line,) = ax.plot([left, left + bar], [y, y], **style)
    line.set_gid("scale bar")
    name = length.name[:-1] if told == 1 and length.name.endswith("s") else length.name
    ax.annotate(
        f"{told:,g} {name}", (left + bar, y), (4, 0), textcoords="offset points",
        va="center_baseline", fontsize=8, color=COLOR, annotation_clip=False,
    )  # fmt: skip
    # Cells at the rim are whole, and the bar is inside.
    ax.set_xlim(left - margin, right + margin)
    ends = [y + down * 1.5 * margin, (high if down < 0 else low) - down * margin]
    ax.set_ylim(*(ends if down < 0 else ends[::-1]))
    if down > 0:
        ax.invert_yaxis()
