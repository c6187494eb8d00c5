from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import Data

from stofm_pyg.data.unknown_key import unknown_key


def class_names(slices: Sequence[Data], label: str | None = None) -> list[str] | None:
    r"""Returns the names of the classes of a label, which must be the same in all slices.

    Args:
        slices (sequence of Data): Slices with :obj:`classes`.
        label (str, optional): The label; not needed if there is only one. (default: :obj:`None`)

    Returns:
        The names, or :obj:`None` if the slices have no labels.
    """
    known = slices[0].get("classes") or {}
    if label is None:
        if len(known) > 1:
            raise ValueError(
                f"The slices have the labels {list(known)}: name the predicted one with 'label='."
            )
        label = next(iter(known), None)
    elif label not in known:
        raise unknown_key(label, "data.classes", known)
    for data in slices[1:]:
        if label is not None and (data.get("classes") or {}).get(label) != known[label]:
            raise ValueError(
                f"The slices do not have the same classes of {label!r}. Convert them together, or "
                f"with the same 'classes='."
            )
    return None if label is None else list(known[label])


def prediction_column(
    values: Sequence[Tensor], rows: np.ndarray, num_cells: int, names: Sequence[str] | None
) -> pd.Categorical:
    r"""Returns predicted classes as a column of :obj:`adata.obs`.

    Args:
        values (sequence of Tensor): Class numbers of the cells of each slice, -1 for unknown.
        rows (np.ndarray): The rows of all these cells in the AnnData.
        num_cells (int): Number of rows of the AnnData; those not in :obj:`rows` become NaN.
        names (sequence of str, optional): Names of the classes. If :obj:`None`, the numbers are.
    """
    for value in values:
        if value.dim() != 1 or value.is_floating_point() or value.is_complex():
            raise ValueError(
                f"'prediction' must hold one class number per cell, got shape {list(value.shape)} "
                f"of {value.dtype}. Take the best class of scores with 'scores.argmax(dim=-1)'."
            )
    found = torch.cat([value.long() for value in values]).numpy()
    if names is None:
        names = [str(code) for code in range(int(found.max(initial=-1)) + 1)]
    wrong = (found < -1) | (found >= len(names))
    if wrong.any():
        raise ValueError(
            f"'prediction' holds class {found[wrong][0]}, but there are {len(names)} classes "
            f"{names}; -1 stands for unknown. Name another 'label=', or mend the prediction."
        )
    codes = np.full(num_cells, -1, dtype=np.int64)
    codes[rows] = found
    return pd.Categorical.from_codes(codes, categories=names)
