import numpy as np


def check_spread(pos: np.ndarray, name: str = "") -> None:
    r"""Checks that a slice has at least two cells at different positions: without, it has no unit.

    Args:
        pos (np.ndarray): Positions :math:`(N, 2)`.
        name (str, optional): The name of the slice in the error. (default: :obj:`""`)
    """
    if len(pos) >= 2 and (pos != pos[0]).any():
        return
    slice_name = f"Slice {name!r}" if name else "The slice"
    where = f", at {pos[0].tolist()}" if len(pos) else ""
    raise ValueError(
        f"{slice_name} needs at least two cells at different positions, it has {len(pos)} "
        f"cell{'s' * (len(pos) != 1)}{where}. Leave it out, or check that 'spatial_key' and "
        f"'slice_key' name the right columns."
    )
