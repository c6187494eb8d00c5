"""What cells of generated tissue express by where they are and by what lies around them."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.spatial import cKDTree

from stofm_pyg.datasets._tissue_geometry import TissueLayout, smooth_noise

NUM_FIELDS, NUM_SIGNALS = 2, 6
# Cells around a cell that it gets signals from: by touch, and by what diffuses.
NEAR, FAR = 10, 60
# Over which a nest is felt, in units of its size.
NEST_REACH = 0.5
# Share of the genes in a program, and the standard deviation of their log fold changes.
BANDS, AXIS, NEST, FIELDS, SIGNALS = (0.2, 0.3), (0.55, 0.5), (0.3, 0.45), (0.2, 0.3), (0.2, 0.8)


@dataclass(frozen=True)
class SpatialPrograms:
    """Groups of genes that rise and fall together in space, the same on every slice.

    Args:
        loadings: Log fold change of every gene in every program, shape :obj:`[P, G]`: bands and the
            axis of the layers, one for each kind of nest, fields, and signals.
        num_layers: Number of layers.
        senders: The two cell types that each signal depends on, shape :obj:`[S, 2]`.
        answers: How strongly each cell type answers each signal, shape :obj:`[K, S]`.
    """

    loadings: np.ndarray
    num_layers: int
    senders: np.ndarray
    answers: np.ndarray


def sparse_loadings(shape: tuple[int, int], share: float, scale: float, rng: Generator) -> np.ndarray:
    """Normal numbers of a standard deviation, a share of them and zero otherwise."""
    return rng.normal(0, scale, shape) * (rng.random(shape) < share)


def make_programs(
    num_genes: int, num_layers: int, num_nested: int, num_cell_types: int, rng: Generator
) -> SpatialPrograms:
    """Draws the programs of a tissue."""
    numbers = (2, 1, -(-num_nested // 2), NUM_FIELDS, NUM_SIGNALS)
    kinds = (BANDS, AXIS, NEST, FIELDS, SIGNALS)
    loadings = [
        sparse_loadings((number, num_genes), *kind, rng)
        for number, kind in zip(numbers, kinds, strict=True)
    ]
    senders = [rng.permutation(num_cell_types)[:2] for _ in range(NUM_SIGNALS)]
    return SpatialPrograms(
        loadings=np.concatenate(loadings),
        num_layers=num_layers,
        senders=np.stack(senders),
        answers=rng.uniform(0.3, 1.0, (num_cell_types, NUM_SIGNALS))
        * (rng.random((num_cell_types, NUM_SIGNALS)) < 0.6),
    )


def program_activity(
    programs: SpatialPrograms,
    points: np.ndarray,
    layout: TissueLayout,
    cell_type: np.ndarray,
    rng: Generator,
) -> np.ndarray:
    """How active every program is in every cell of a slice.

    * Bands come back in every other layer, and the axis runs through all; both follow the depth
      with a warp of the slice's own, so that they cross the borders of domains.
    * A nest's program falls off over several spacings beyond its rim.
    * Fields (supply, strain, quality of the tissue) belong to the slice and to no domain.
    * A signal needs two types around a cell at once, or one without the other, above a threshold,
      among its nearest cells or among many, and only some types answer.

    Args:
        programs: The programs.
        points: Positions of shape :obj:`[N, 2]`, before rotation and scale.
        layout: Where the cells are in the tissue.
        cell_type: Type index of every cell, shape :obj:`[N]`.
        rng: Source of the warp and of the fields.

    Returns:
        Array of shape :obj:`[N, P]`.
    """
    depth = layout.depth + 0.035 * smooth_noise(points, 0.35, rng)[:, 0]
    angle = np.pi * programs.num_layers * depth
    parts = [
        1.4 * np.stack([np.cos(angle), np.sin(angle)], axis=1),
        1.5 * np.cos(np.pi * depth)[:, None],
        2 * np.exp(-np.maximum(layout.distance - 0.4, 0) / NEST_REACH),
        smooth_noise(points, 0.5, rng, num_fields=NUM_FIELDS),
        _signals(programs, points, cell_type) * programs.answers[cell_type],
    ]
    return np.concatenate(parts, axis=1)


def _signals(programs: SpatialPrograms, points: np.ndarray, cell_type: np.ndarray) -> np.ndarray:
    """The signals that reach every cell, from 0 to 1, shape :obj:`[N, S]`."""
    num_types = len(programs.answers)
    reach = min(FAR, len(points) - 1)
    around = cell_type[cKDTree(points).query(points, k=reach + 1)[1][:, 1:]]
    out = np.empty((len(points), NUM_SIGNALS))
    for number, (first, second) in enumerate(programs.senders):
        seen = around[:, :NEAR] if number % 2 == 0 else around
        # Shares of the two types, in units of the mean type's.
        one, other = (num_types * (seen == kind).mean(axis=1) for kind in (first, second))
        if number % 3 < 2:
            level = np.sqrt(one * other) - 0.8
        else:
            level = one - other - 0.5
        out[:, number] = 1 / (1 + np.exp(-level / 0.2))
    return out
