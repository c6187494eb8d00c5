r"""Spots made of single cells by a grid, so that what they are a mixture of is known."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

GRIDS = ("square", "hexagonal")
NUM_HALVINGS = 40


@dataclass
class Spots:
    r"""The spots of a slice.

    Args:
        counts (csr_matrix): The sum of the counts of the cells of each :math:`(S, G)`.
        pos (np.ndarray): Their middles :math:`(S, 2)`, on a lattice.
        proportions (np.ndarray): The share of each type among their cells :math:`(S, T)`.
        spot (np.ndarray): The spot of each cell :math:`(N)`, -1 for one that was left out.
        pitch (float): The distance of neighbouring middles, in the unit of the positions.
    """

    counts: sparse.csr_matrix
    pos: np.ndarray
    proportions: np.ndarray
    spot: np.ndarray
    pitch: float


def bin_cells(
    counts: sparse.csr_matrix,
    pos: np.ndarray,
    codes: np.ndarray,
    num_types: int,
    cells_per_spot: float = 5.0,
    grid: str = "square",
) -> Spots:
    r"""Sums the cells of a slice up to spots on a grid without gaps. Cells of an unknown type are left
    out, counts and all, so that the proportions are those of what was summed.

    The pitch follows from how many cells a spot holds on average, whatever the unit of the slice.

    Args:
        counts (csr_matrix): Counts of the cells :math:`(N, G)`.
        pos (np.ndarray): Positions :math:`(N, 2)`.
        codes (np.ndarray): The type of each cell :math:`(N)`, -1 where unknown.
        num_types (int): The number of types :math:`T`.
        cells_per_spot (float, optional): The mean number of cells of the spots that hold any.
            (default: :obj:`5.0`)
        grid (str, optional): :obj:`"square"`, or :obj:`"hexagonal"` as Visium's spots lie.
            (default: :obj:`"square"`)

    Raises:
        ValueError: The grid is unknown, or there are too few cells for two spots.
    """
    if grid not in GRIDS:
        raise ValueError(f"Unknown grid '{grid}'; known: {', '.join(GRIDS)}")
    if not cells_per_spot >= 1:
        raise ValueError(f"'cells_per_spot' must be at least 1 (got {cells_per_spot})")
    known = np.flatnonzero(codes >= 0)
    if known.size < 2 * cells_per_spot:
        raise ValueError(
            f"{known.size} cells of a known type are too few for two spots of {cells_per_spot:g} cells; "
            f"take fewer cells for a spot, or a larger slice"
        )
    places = np.asarray(pos, dtype=np.float64)[known]
    origin = places.min(axis=0)
    pitch = _pitch(places - origin, known.size / cells_per_spot, grid)
    middles = _middles(places - origin, pitch, grid)
    middle, of_cell = np.unique(middles, axis=0, return_inverse=True)
    of_cell = of_cell.reshape(-1)
    spot = np.full(len(codes), -1)
    spot[known] = of_cell
    member = sparse.csr_matrix((np.ones(known.size), (of_cell, known)), (len(middle), len(codes)))
    number = np.zeros((len(middle), num_types))
    np.add.at(number, (of_cell, codes[known]), 1)
    return Spots(
        counts=(member @ counts.astype(np.float64)).astype(np.float32).tocsr(),
        pos=origin + middle * _half_steps(pitch, grid),
        proportions=number / number.sum(axis=1, keepdims=True),
        spot=spot,
        pitch=pitch,
    )


def _half_steps(pitch: float, grid: str) -> np.ndarray:
    # Middles are whole numbers of half steps, so that equal ones are equal whatever the rounding.
    return pitch / 2 * (np.ones(2) if grid == "square" else np.array([1.0, np.sqrt(3)]))


def _middles(pos: np.ndarray, pitch: float, grid: str) -> np.ndarray:
    # The nearest middle of each position, in half steps.
    step = 2 * _half_steps(pitch, grid)
    even = 2 * np.rint(pos / step).astype(np.int64)
    if grid == "square":
        return even
    # A hexagonal lattice is two rectangular ones, of which one is moved by half a step.
    odd = 2 * np.floor(pos / step).astype(np.int64) + 1
    far = [((pos - middle * step / 2) ** 2).sum(axis=1) for middle in (even, odd)]
    return np.where((far[0] <= far[1])[:, None], even, odd)


def _pitch(pos: np.ndarray, num_spots: float, grid: str) -> float:
    # The pitch by which about so many spots hold a cell: the larger it is, the fewer do.
    high = 2 * float(np.linalg.norm(np.ptp(pos, axis=0)))
    if high == 0:
        raise ValueError("All cells lie at one place, so that no grid tells spots apart")
    low = high / 2**20
    for _ in range(NUM_HALVINGS):
        middle = np.sqrt(low * high)
        if len(np.unique(_middles(pos, middle, grid), axis=0)) > num_spots:
            low = middle
        else:
            high = middle
    return float(high)
