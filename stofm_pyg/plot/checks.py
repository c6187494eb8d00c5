r"""Checks of what is to be drawn."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def as_array(values: Any) -> np.ndarray:
    r"""Returns an array of what may be a tensor, also on a GPU or with a gradient."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def checked_positions(pos: Any, where: str = "") -> np.ndarray:
    r"""Returns positions as an array :math:`(N, 2)`.

    Raises:
        ValueError: They are none, or not finite.
    """
    pos = as_array(pos)
    if pos.ndim != 2 or pos.shape[1] != 2:
        raise ValueError(f"Positions{where} have shape {pos.shape}; pass x and y of each cell")
    if not np.isfinite(pos).all():
        row = int(np.flatnonzero(~np.isfinite(pos).all(axis=1))[0])
        raise ValueError(f"The position of cell {row}{where} is {pos[row]}; leave such cells out")
    return pos


def check_numbers(pos: np.ndarray, values: np.ndarray, num_classes: int, where: str = ""):
    r"""Checks that there is one class number for each position, -1 where unknown.

    Raises:
        ValueError: There is not.
    """
    check_length(pos, values, where)
    if not np.issubdtype(values.dtype, np.integer) and values.size:
        raise ValueError(
            f"Class numbers{where} are of type {values.dtype}; pass whole numbers, -1 where "
            f"unknown, as 'adata.obs[key].cat.codes' has them"
        )
    if values.max(initial=-1) >= num_classes or values.min(initial=0) < -1:
        worst = values.max() if values.max() >= num_classes else values.min()
        raise ValueError(
            f"Class number {worst}{where} is not one of {num_classes} classes; pass 0 to "
            f"{num_classes - 1}, and -1 where unknown"
        )


def check_length(pos: np.ndarray, values: np.ndarray, where: str = ""):
    r"""Checks that there is one value for each position.

    Raises:
        ValueError: There is not.
    """
    if values.shape != (len(pos),):
        raise ValueError(
            f"There are values{where} of shape {values.shape} for {len(pos)} cells; pass one for "
            f"each cell"
        )


def check_matrix(matrix: np.ndarray, classes: Sequence[str]):
    r"""Checks that a matrix holds numbers of cells, a row and a column for each class.

    Raises:
        ValueError: It does not.
    """
    if matrix.shape != (len(classes), len(classes)) or not len(classes):
        raise ValueError(
            f"The confusion matrix has shape {matrix.shape} for {len(classes)} classes; pass one row "
            f"and one column for each class"
        )
    good = np.isfinite(matrix) & (matrix >= 0)
    if not good.all():
        raise ValueError(
            f"The confusion matrix holds {matrix[~good][0]}; pass numbers of cells, 0 or more"
        )


def shortened(name: Any, length: int = 32) -> str:
    r"""Returns a name of a limited length, the middle left out where it is longer."""
    name = str(name)
    return name if len(name) <= length else f"{name[: length // 2 - 1]}…{name[-length // 2 :]}"
