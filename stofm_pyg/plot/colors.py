r"""The colours of classes: one palette, so that a class has the same colour in every picture."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.colors import to_rgba

#: Colours that colour-blind readers can tell apart (Okabe and Ito 2008), darkest contrasts first.
OKABE_ITO = (
    *("#0072B2", "#E69F00", "#009E73", "#D55E00"),
    *("#CC79A7", "#56B4E9", "#F0E442", "#000000"),
)
UNKNOWN = "#D9D9D9"
# Numbers up to here name their colour; larger ones are names like any other.
MAX_NUMBER = 100
GRID = 17
# Cells are drawn on white, and grey is kept for what is unknown.
BACKGROUND = ("#FFFFFF", UNKNOWN)
# What people without red or without green cones see of linear RGB (Machado et al. 2009).
VISIONS = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
    ]
)
# From linear RGB to the responses of the cones and from their cube roots to Oklab (Ottosson 2020).
CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def seen_colors(rgb: np.ndarray) -> np.ndarray:
    r"""Returns colours as people see them, in a space where equal distances look equally different.

    Args:
        rgb (np.ndarray): sRGB colours :math:`(N, 3)` between zero and one.

    Returns:
        Oklab colours :math:`(3, N, 3)`: with all cones, without red ones, without green ones.
    """
    rgb = np.asarray(rgb, dtype=np.float64)[:, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ VISIONS.transpose(0, 2, 1), 0, 1)
    return np.cbrt(seen @ CONES.T) @ OKLAB.T


def class_colors(num_classes: int) -> np.ndarray:
    r"""Returns one RGBA colour per class: the eight of Okabe and Ito, and then again and again the one
    that differs most from all before it, to whichever eyes these are hardest to tell apart.

    The first colours stay as classes are added.

    Args:
        num_classes (int): Number of classes.

    Returns:
        Array of shape :obj:`[num_classes, 4]`.
    """
    num_colors = -(-max(num_classes, 40) // 40) * 40
    return _palette(num_colors)[:num_classes].copy()


def colors_of(classes: Sequence[Any], given: Mapping[str, Any] | None = None) -> np.ndarray:
    r"""Returns the RGBA colours :math:`(C, 4)` of named classes: those that are given, else by their
    place in the alphabet, in whichever order they are named. Classes that are called by small whole
    numbers, as domains are, have the colour of their number, so that it stays where others are missing.

    Args:
        classes (sequence of str): The names.
        given (dict, optional): Colours by name, in any form of matplotlib. (default: :obj:`None`)
    """
    names = [str(name) for name in classes]
    place = {name: number for number, name in enumerate(sorted(set(names)))}
    number = [place[name] for name in names]
    if names and all(name.isdecimal() and int(name) < MAX_NUMBER for name in names):
        number = [int(name) for name in names]
    colors = class_colors(max(number, default=-1) + 1)[number].reshape(-1, 4)
    for row, name in enumerate(names):
        if given is not None and name in given:
            colors[row] = to_rgba(given[name])
    return colors


@lru_cache(maxsize=4)
def _palette(num_colors: int) -> np.ndarray:
    axis = np.linspace(0, 1, GRID)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    lightness, a, b = seen_colors(grid)[0].T
    # Neither nearly white nor nearly black, and no greys.
    grid = grid[(lightness > 0.3) & (lightness < 0.93) & (np.hypot(a, b) > 0.05)]
    seen = seen_colors(grid)
    chosen = [to_rgba(color) for color in OKABE_ITO]
    gap = np.full(len(grid), np.inf)
    for color in [*chosen, *map(to_rgba, BACKGROUND)]:
        gap = np.minimum(gap, _gap(seen, seen_colors(np.array([color]))))
    while len(chosen) < num_colors:
        best = int(gap.argmax())
        chosen.append((*grid[best], 1.0))
        gap = np.minimum(gap, _gap(seen, seen[:, [best]]))
    return np.array(chosen)


def _gap(seen: np.ndarray, other: np.ndarray) -> np.ndarray:
    # How different colours are from one, to the eyes that see the least difference.
    return np.linalg.norm(seen - other, axis=-1).min(axis=0)
