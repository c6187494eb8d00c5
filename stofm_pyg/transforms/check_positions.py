import numpy as np
from torch import Tensor

# Squares of what is smaller vanish, and of what is larger are no numbers.
SMALLEST, LARGEST = 1e-100, 1e100


def check_coordinates(pos: Tensor | None) -> Tensor:
    r"""Returns finite positions :math:`(N, 2)`, or raises.

    Raises:
        ValueError: If positions are missing, of another shape, or not finite.
    """
    if pos is None:
        raise ValueError("The slice has no positions; set 'data.pos' to a tensor of shape [N, 2]")
    if pos.dim() != 2 or pos.size(1) != 2:
        raise ValueError(
            f"Positions must have shape [N, 2] (got {list(pos.shape)}); pass the two coordinates in "
            f"the plane of the slice, 'pos[:, :2]'"
        )
    finite = pos.isfinite().all(dim=1)
    if not finite.all():
        row = int((~finite).nonzero()[0])
        raise ValueError(
            f"{int((~finite).sum())} of {pos.size(0)} positions are not finite, the first in row {row}: "
            f"{pos[row].tolist()}; drop these cells or mend their coordinates"
        )
    return pos


def check_positions(pos: Tensor | None) -> Tensor:
    r"""Returns finite positions :math:`(N, 2)` with at least two different ones, whose distances can be
    computed with, or raises.

    Raises:
        ValueError: If positions are missing, of another shape, not finite, all equal, or extremely near
            to or far from each other.
    """
    pos = check_coordinates(pos)
    if pos.size(0) == 0:
        raise ValueError("The slice is empty: it has no cell; leave it out")
    if (pos == pos[0]).all():
        raise ValueError(
            f"All {pos.size(0)} positions equal {pos[0].tolist()}; a slice needs at least two cells at "
            f"different positions (is this the right spatial key?)"
        )
    check_extent(pos.double().amin(dim=0), pos.double().amax(dim=0))
    return pos


def check_extent(low: Tensor | np.ndarray, high: Tensor | np.ndarray, what: str = "The slice"):
    r"""Checks that distances between positions can be computed with.

    Args:
        low (torch.Tensor or np.ndarray): The smallest coordinates :math:`(2)`, in double precision.
        high (torch.Tensor or np.ndarray): The largest ones.
        what (str, optional): What lies there, for the error. (default: :obj:`"The slice"`)

    Raises:
        ValueError: Positions are extremely near to or far from each other.
    """
    extent = 2 * float((high / 2 - low / 2).max())
    if not SMALLEST <= extent <= LARGEST:
        raise ValueError(
            f"{what} is {extent:g} wide, in whose square there is nothing to compute with; give its "
            f"positions in another unit, such as microns"
        )
