r"""Borders between the parts of a slice."""

import numpy as np
from scipy.spatial import QhullError, Voronoi

# A border ends so many distances of the two cells that it parts from the middle between them, and is
# drawn between cells no further apart than so many times the usual.
LENGTH, REACH = 1.0, 4.0


def part_borders(pos: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Returns the borders between parts: the sides that Voronoi cells of different parts share.

    Args:
        pos (np.ndarray): Positions :math:`(N, 2)`.
        part (np.ndarray): The part of each cell :math:`(N)`.

    Returns:
        The ends of the lines :math:`(L, 2, 2)`, and the pairs of cells that they part :math:`(L, 2)`.
    """
    none = np.empty((0, 2, 2)), np.empty((0, 2), dtype=np.int64)
    if len(pos) < 4 or (part == part[0]).all():
        return none
    pos = np.asarray(pos, dtype=np.float64)
    try:
        cells = Voronoi(pos)
    except QhullError:  # All cells on one line.
        return none
    pairs, sides = cells.ridge_points, np.array(cells.ridge_vertices)
    apart = np.linalg.norm(pos[pairs[:, 0]] - pos[pairs[:, 1]], axis=1)
    kept = (part[pairs[:, 0]] != part[pairs[:, 1]]) & (sides >= 0).all(axis=1)
    kept &= apart <= REACH * np.median(apart)
    pairs, apart, lines = pairs[kept], apart[kept], cells.vertices[sides[kept]]
    # Far ends, at the rim, are cut off, and none leaves the tissue.
    middle = pos[pairs].mean(axis=1, keepdims=True)
    away = lines - middle
    reach = np.linalg.norm(away, axis=2, keepdims=True)
    most = LENGTH * apart[:, None, None]
    lines = middle + away * np.minimum(1.0, most / np.maximum(reach, 1e-12))
    return np.clip(lines, pos.min(axis=0), pos.max(axis=0)), pairs


def apart_colors(pairs: np.ndarray, num_parts: int) -> np.ndarray:
    r"""Returns a small number for each part :math:`(P)`, another for each two that touch.

    Args:
        pairs (np.ndarray): The pairs of parts that touch :math:`(L, 2)`.
        num_parts (int): The number of parts.
    """
    touching = [set() for _ in range(num_parts)]
    for first, second in np.unique(pairs, axis=0).tolist():
        touching[first].add(second)
        touching[second].add(first)
    number = np.full(num_parts, -1, dtype=np.int64)
    for part in sorted(range(num_parts), key=lambda part: (-len(touching[part]), part)):
        taken = {int(number[other]) for other in touching[part]}
        number[part] = next(n for n in range(num_parts) if n not in taken)
    return number
