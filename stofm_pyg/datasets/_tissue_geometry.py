"""Positions and domains of one generated slice, in units where the tissue's radius is about 1."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.spatial import cKDTree

CORE_SHARE, RIM_SHARE = 0.12, 0.10
NEAR_COINCIDENT_SHARE = 0.01


def smooth_noise(
    points: np.ndarray, length: float, rng: Generator, num_fields: int = 1, num_waves: int = 16
) -> np.ndarray:
    """Random smooth fields of unit variance that vary over :obj:`length` (random Fourier waves).

    Args:
        points: Positions of shape :obj:`[N, 2]`.
        length: Distance over which a field changes, in the unit of :obj:`points`.
        rng: Source of the waves.
        num_fields: Number of independent fields.
        num_waves: Number of waves in each field.

    Returns:
        Array of shape :obj:`[N, num_fields]`.
    """
    frequency = rng.normal(size=(2, num_fields, num_waves)) / length
    phase = rng.uniform(0, 2 * np.pi, size=(num_fields, num_waves))
    fields = np.empty((len(points), num_fields))
    for k in range(num_fields):
        fields[:, k] = np.cos(points @ frequency[:, k] + phase[k]).sum(axis=1)
    return fields * np.sqrt(2 / num_waves)


class _Outline:
    """An irregular ellipse with a few holes (vessels, ventricles)."""

    def __init__(self, rng: Generator):
        aspect = rng.uniform(0.75, 1.3)
        self.axes = np.array([aspect, 1 / aspect])
        order = np.arange(2, 6)
        self.order = order
        self.amplitude = rng.normal(0, 0.12 / order)
        self.phase = rng.uniform(0, 2 * np.pi, order.size)
        angle = rng.uniform(0, 2 * np.pi, rng.integers(1, 4))
        distance = rng.uniform(0.2, 0.8, angle.size)
        self.holes = distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        self.hole_radius = rng.uniform(0.05, 0.11, angle.size)

    def contains(self, points: np.ndarray) -> np.ndarray:
        round_points = points / self.axes
        angle = np.arctan2(round_points[:, 1], round_points[:, 0])
        wave = np.cos(angle[:, None] * self.order + self.phase) @ self.amplitude
        inside = np.hypot(*round_points.T) < 1 + wave
        for centre, radius in zip(self.holes, self.hole_radius, strict=True):
            inside &= np.hypot(*(points - centre).T) > radius
        return inside


def _space_out(points: np.ndarray, rng: Generator, rounds: int = 4) -> np.ndarray:
    """Pushes near cells apart, so that spacing is irregular but not Poisson, as in tissue."""
    if len(points) < 8:
        return points
    points = points.copy()
    for _ in range(rounds):
        distance, index = cKDTree(points).query(points, k=7)
        distance, index = distance[:, 1:], index[:, 1:]
        reach = 0.95 * distance.mean(axis=1, keepdims=True)
        overlap = np.maximum(0, 1 - distance / reach)
        away = (points[:, None] - points[index]) / np.maximum(distance, 1e-12)[..., None]
        points += 0.35 * reach * (overlap[..., None] * away).sum(axis=1)
    return points


def sample_positions(num_cells: int, rng: Generator) -> np.ndarray:
    """Draws cells in an irregular outline with holes, at a density that varies over the tissue.

    About one cell in a hundred lies almost on top of another, as segmentation errors do.

    Args:
        num_cells: Number of cells.
        rng: Source of the outline, the density and the cells.

    Returns:
        Float64 positions of shape :obj:`[num_cells, 2]`, in random order.
    """
    outline = _Outline(rng)
    field_seed = int(rng.integers(2**63))
    kept, missing = [], num_cells
    while missing > 0:
        candidates = rng.uniform(-1.8, 1.8, size=(8 * missing + 64, 2))
        candidates = candidates[outline.contains(candidates)]
        # The same waves in every round: the density belongs to the slice.
        density = np.exp(0.5 * smooth_noise(candidates, 0.35, np.random.default_rng(field_seed)))
        accepted = candidates[rng.random(len(candidates)) < density[:, 0] / np.exp(1.2)]
        kept.append(accepted[:missing])
        missing -= len(kept[-1])
    points = _space_out(np.concatenate(kept), rng)

    num_near = max(1, round(NEAR_COINCIDENT_SHARE * num_cells))
    pair = rng.permutation(num_cells)[: 2 * num_near].reshape(2, -1)
    spacing = cell_spacing(num_cells)
    points[pair[0]] = points[pair[1]] + rng.normal(0, 0.02 * spacing, size=(pair.shape[1], 2))
    return points


@dataclass(frozen=True)
class TissueLayout:
    """Where the cells of one slice are in its tissue.

    Args:
        domain: Domain index of every cell, int64 of shape :obj:`[N]`, as in :func:`domain_names`.
        depth: How deep every cell lies across the layers, from 0 to 1 with an equal part for each
            layer, shape :obj:`[N]`; it runs on below the nests.
        distance: Distance of every cell to the nests of each kind, in units where the core and its
            rim end at about 1, shape :obj:`[N, kinds]`.
    """

    domain: np.ndarray
    depth: np.ndarray
    distance: np.ndarray


def cell_spacing(num_cells: int) -> float:
    """About the distance between neighbouring cells of a slice."""
    return 1.7 / np.sqrt(num_cells)


def num_nested(num_domains: int) -> int:
    """Number of the domains that lie in nests; the others are layers."""
    return (num_domains + 1) // 3


def domain_names(num_domains: int) -> list[str]:
    """Names of the domains by index: layers first, then the core and the rim of every nest kind."""
    nested = num_nested(num_domains)
    layers = [f"layer{i}" for i in range(num_domains - nested)]
    return layers + [f"{'rim' if i % 2 else 'core'}{i // 2}" for i in range(nested)]


def _nest_field(points: np.ndarray, free: np.ndarray, rng: Generator) -> np.ndarray:
    """Distance to the nearest of some warped islands among free points that lie apart, in units of
    its size."""
    num_islands = int(np.clip(round(np.sqrt(len(free) / 250)), 2, 40))
    candidates = free[rng.integers(len(free), size=10 * num_islands)]
    centres = candidates[:1]
    for _ in range(num_islands - 1):
        gap = cKDTree(centres).query(candidates)[0]
        # Among the farther half: spread over the tissue, not only along its border.
        choice = rng.choice(np.argsort(gap)[len(gap) // 2 :])
        centres = np.concatenate([centres, candidates[choice : choice + 1]])
    size = np.exp(rng.normal(0, 0.2, num_islands))
    width = 0.25 / np.sqrt(num_islands)
    warped = points + width * smooth_noise(points, 1.6 * width, rng, num_fields=2)
    field = np.full(len(points), np.inf)
    for centre, radius in zip(centres, size, strict=True):
        np.minimum(field, np.hypot(*(warped - centre).T) / radius, out=field)
    return field


def lay_out(points: np.ndarray, num_domains: int, rng: Generator) -> TissueLayout:
    """Cuts a slice into curved layers and into islands with a rim that lie across them.

    Every domain is a range of ranks of a smooth field, so each is present in every slice.

    Args:
        points: Positions of shape :obj:`[N, 2]`.
        num_domains: Number of domains.
        rng: Source of this slice's geometry.
    """
    nested = num_nested(num_domains)
    num_layers = num_domains - nested
    domain = np.full(len(points), -1)

    # A share of what is left for each kind, less where there are many kinds.
    shrink = min(1.0, 3 / (nested + 1))
    distance = np.empty((len(points), -(-nested // 2)))
    for kind, first in enumerate(range(num_layers, num_domains, 2)):
        free = np.flatnonzero(domain < 0)
        distance[:, kind] = _nest_field(points, points[free], rng)
        order = free[np.argsort(distance[free, kind])]
        core = max(2, round(CORE_SHARE * shrink * len(points)))
        rim = max(2, round(RIM_SHARE * shrink * len(points)))
        domain[order[:core]] = first
        if first + 1 < num_domains:
            domain[order[core : core + rim]] = first + 1
        distance[:, kind] /= max(distance[order[min(core + rim, len(order)) - 1], kind], 1e-12)

    centre = np.array([rng.uniform(-0.4, 0.4), -rng.uniform(1.3, 2.2)])
    depth = np.hypot(*(points - centre).T)
    depth += 0.12 * smooth_noise(points, 0.45, rng)[:, 0]
    share = rng.dirichlet(np.full(num_layers, 25.0))
    share = 0.6 * share + 0.4 / num_layers
    free = np.flatnonzero(domain < 0)
    cut = np.round(np.cumsum(share)[:-1] * free.size).astype(np.int64)
    domain[free] = np.searchsorted(cut, _rank(depth[free]), side="right")
    border = np.sort(depth[free])[np.concatenate([[0], cut, [free.size - 1]])]
    # Every layer takes an equal part, whatever it has of the slice.
    depth = np.interp(depth, border, np.linspace(0, 1, num_layers + 1))
    return TissueLayout(domain, depth, distance)


def _rank(values: np.ndarray) -> np.ndarray:
    rank = np.empty(values.size, dtype=np.int64)
    rank[np.argsort(values)] = np.arange(values.size)
    return rank
