from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree

from stofm_pyg.data import SliceSettings
from stofm_pyg.data.slices.positions import check_spread
from stofm_pyg.transforms.neighbors import neighbor_spacing

# What is out of the ordinary.
FEW_CELLS, FEW_NEIGHBORS, MANY_NEIGHBORS, MANY_ISOLATED = 150, 3.0, 1000.0, 0.1


def describe_slice(
    name: str, pos: np.ndarray, settings: SliceSettings, unit: str | None, warnings: list[str]
) -> dict[str, Any]:
    r"""Returns what a slice would be made of: its unit, graph, subpatches and virtual cells.

    Args:
        name (str): Its name.
        pos (np.ndarray): The positions of its cells :math:`(N, 2)`.
        settings (SliceSettings): How it would be made.
        unit (str, optional): The unit of the positions, where the source tells it.
        warnings (list[str]): Takes what is out of the ordinary.

    Raises:
        ValueError: It has not two cells at different positions.
    """
    check_spread(pos, name)
    spacing = neighbor_spacing(torch.from_numpy(pos))
    length = _unit_length(pos, settings, spacing.length)
    degree, isolated = _degrees(pos, settings.radius * length)
    known = settings.microns_per_unit if unit == "micron" or settings.microns_per_unit != 1.0 else None
    if spacing.heaps:
        warnings.append(
            f"Slice {name!r}: cells lie in {spacing.num_places:,} heaps, whose distance is the spacing"
        )
    if len(pos) < FEW_CELLS:
        warnings.append(f"Slice {name!r} has {len(pos)} cells only")
    if not FEW_NEIGHBORS <= degree <= MANY_NEIGHBORS or isolated > MANY_ISOLATED * len(pos):
        warnings.append(
            f"Slice {name!r}: a cell has {degree:.1f} neighbours within the radius, and {isolated:,} "
            f"cells have none; look at --radius and --unit"
        )
    return {
        "name": name,
        "cells": len(pos),
        "spacing": spacing.length,
        "spacing_in_microns": None if known is None else spacing.length * known,
        "unit_in_file": length,
        "degree": degree,
        "isolated": isolated,
        "subpatches": max(1, round(len(pos) / settings.cells_per_part)),
        "virtual_cells_at_most": min(settings.max_clusters, len(pos)),
    }


def _unit_length(pos: np.ndarray, settings: SliceSettings, spacing: float) -> float:
    # How long the unit of distances is, in the unit of the file.
    if settings.unit == "spacing":
        return spacing
    if settings.unit == "micron":
        return 1.0 / settings.microns_per_unit
    return float(np.linalg.norm(np.ptp(pos, axis=0))) / 100


def _degrees(pos: np.ndarray, radius: float, most: int = 5000) -> tuple[float, int]:
    # The mean number of cells within a radius of so many cells at most, and how many of all have none.
    tree, radius = cKDTree(pos), radius * (1 + 1e-6)
    chosen: Sequence[int] = np.linspace(0, len(pos) - 1, min(most, len(pos))).astype(int)
    number = tree.query_ball_point(pos[chosen], radius, return_length=True) - 1
    nearest = tree.query(pos, k=2)[0][:, 1]
    return float(number.mean()), int((nearest > radius).sum())
