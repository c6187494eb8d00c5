from torch import Tensor


def check_positions(pos: Tensor) -> Tensor:
    r"""Returns finite positions :math:`(N, 2)` with at least two different ones, or raises.

    Raises:
        ValueError: If positions are missing, of another shape, not finite or all equal.
    """
    if pos is None:
        raise ValueError("The slice has no positions; set 'data.pos' to a tensor of shape [N, 2]")
    if pos.dim() != 2 or pos.size(1) != 2:
        raise ValueError(
            f"Positions must have shape [N, 2] (got {list(pos.shape)}); pass the two coordinates in "
            f"the plane of the slice, 'pos[:, :2]'"
        )
    if pos.size(0) == 0:
        raise ValueError("The slice is empty: it has no cell; leave it out")
    finite = pos.isfinite().all(dim=1)
    if not finite.all():
        row = int((~finite).nonzero()[0])
        raise ValueError(
            f"{int((~finite).sum())} of {pos.size(0)} positions are not finite, the first in row {row}: "
            f"{pos[row].tolist()}; drop these cells or mend their coordinates"
        )
    if (pos == pos[0]).all():
        raise ValueError(
            f"All {pos.size(0)} positions equal {pos[0].tolist()}; a slice needs at least two cells at "
            f"different positions (is this the right spatial key?)"
        )
    return pos
