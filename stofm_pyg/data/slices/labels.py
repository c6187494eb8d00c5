import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import Data

from stofm_pyg.data.errors import unknown_key
from stofm_pyg.data.slices.names import missing_values, one_column

logger = logging.getLogger(__name__)

# Keys of the contract, keys that transforms set, and keys that PyG gives a meaning of its own.
RESERVED = {"x", "pos", "node_type", "cell_id", "edge_index", "edge_attr", "cluster", "classes"}
RESERVED |= {"cell_hash"}
RESERVED |= {"name", "unit", "file", "mask", "target", "row", "face", "ptr", "settings", "features"}
# PyG adds an offset to keys with these in their name in a batch, or takes them for edges.
RESERVED_PARTS = ("batch", "index", "edge")
# What stands for an unknown class where classes are numbers.
MINUS_ONE = ("-1", "-1.0")


def encode_labels(
    obs: pd.DataFrame,
    columns: str | Sequence[str] | None,
    classes: Mapping[str, Sequence[str]] | None = None,
    log: bool = True,
) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    r"""Returns columns of :obj:`adata.obs` as class numbers, and the names of the classes.

    Args:
        obs (pd.DataFrame): One row per cell.
        columns (str or sequence of str, optional): The columns to encode.
        classes (dict, optional): Names of the classes of a column, in order, *e.g.*, those of
            another slice. Without it, these are the categories of a categorical column (used or
            not) or the sorted values of any other. (default: :obj:`None`)
        log (bool, optional): Says in the log how many values of a column are unknown.
            (default: :obj:`True`)

    Returns:
        For each column, int64 :math:`(N)` with -1 where unknown, and a list of names. Unknown are
        missing values, text that says so (:obj:`"nan"`, :obj:`"NA"`, :obj:`""`) and -1, unless
        :obj:`classes` has them.

    Raises:
        ValueError: A column does not exist or is there twice, has a reserved name, holds measurements,
            or a value that is not among the given classes, of which each has a name of its own.
    """
    if columns is None:
        columns = ()
    codes, names = {}, {}
    for column in (columns,) if isinstance(columns, str) else columns:
        if column not in obs:
            raise unknown_key(column, "adata.obs", obs.columns, "'labels=' names columns of it.")
        if _is_reserved(column):
            raise ValueError(
                f"The label {column!r} has a name that PyTorch Geometric or the slice itself uses. "
                f"Give the column another one: 'adata.obs[\"label\"] = adata.obs[{column!r}]', "
                f"labels='label'."
            )
        given = None
        if classes is not None and column in classes:
            given = [str(name) for name in classes[column]]
            check_classes(column, given)
        codes[column], names[column] = _encode(one_column(obs, column), given or (), log)
        if given is not None:
            codes[column] = _renumber(codes[column], names[column], given, column)
            names[column] = given
    return codes, names


def check_classes(label: str, names: Sequence[str]):
    r"""Checks that each class of a label has a name of its own.

    Raises:
        ValueError: Two have the same.
    """
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise ValueError(f"'classes' of {label!r} name {twice[0]!r} twice: {list(names)}. Name it once.")


def _is_reserved(column: str) -> bool:
    return (
        column in RESERVED
        or column.startswith("_")
        or any(part in column for part in RESERVED_PARTS)
        or (hasattr(Data, column) and column != "y")
    )


def _encode(values: pd.Series, given: Sequence[str], log: bool) -> tuple[np.ndarray, list[str]]:
    codes, names = _by_value(values)
    none = missing_values(pd.Series(names, dtype=object)) | np.isin(names, MINUS_ONE)
    none &= ~np.isin(names, given)
    said = [names[code] for code in np.unique(codes[codes >= 0]) if none[code]]
    kept = [name for name, gone in zip(names, none, strict=True) if not gone]
    number = np.append(np.where(none, -1, np.cumsum(~none) - 1), -1)
    codes = number[codes]
    if log and (codes < 0).any():
        told = f", for which {', '.join(map(repr, said))} stand" if said else ""
        logger.log(
            logging.WARNING if said else logging.INFO,
            "%d of %d cells have no known %r%s",
            int((codes < 0).sum()),
            len(codes),
            values.name,
            told,
        )
    return codes, kept


def _by_value(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = values.cat.codes.to_numpy().astype(np.int64)
        names = [str(name) for name in values.cat.categories]
    else:
        known = values.notna().to_numpy()
        present = values[known]
        if pd.api.types.is_float_dtype(values.dtype):
            present = _as_whole(present)
        elif not pd.api.types.is_integer_dtype(values.dtype):
            present = present.astype(str)
        unique, inverse = np.unique(present.to_numpy(), return_inverse=True)
        codes = np.full(len(values), -1, dtype=np.int64)
        codes[known] = inverse
        names = [str(name) for name in unique]

    merged = list(dict.fromkeys(names))
    return _renumber(codes, names, merged, values.name), merged


def _as_whole(values: pd.Series) -> pd.Series:
    # Integers become floats where some are missing.
    number = values.to_numpy(dtype=np.float64)
    bad = ~np.isfinite(number) | (number != np.rint(number))
    if bad.any():
        raise ValueError(
            f"The label {values.name!r} holds {number[bad][0]!s}, a measurement and not a class. "
            f"If these are classes, say so: 'adata.obs[{values.name!r}] = "
            f"adata.obs[{values.name!r}].astype('category')'."
        )
    return pd.Series(number.astype(np.int64), name=values.name)


def _renumber(codes: np.ndarray, names: Sequence[str], target: Sequence[str], column: str) -> np.ndarray:
    number = {name: code for code, name in enumerate(target)}
    lookup = np.array([number.get(name, -1) for name in names] + [-1], dtype=np.int64)
    lost = (codes >= 0) & (lookup[codes] < 0)
    if lost.any():
        raise ValueError(
            f"The label {column!r} holds {names[codes[lost][0]]!r}, which is not among the given "
            f"classes {list(target)}. Add it to 'classes', or set these cells to NaN."
        )
    return lookup[codes]


def class_names(slices: Sequence[Data], label: str | None = None) -> list[str] | None:
    r"""Returns the names of the classes of a label, which must be the same in all slices.

    Args:
        slices (sequence of Data): Slices with :obj:`classes`.
        label (str, optional): The label; not needed if there is only one. (default: :obj:`None`)

    Returns:
        The names, or :obj:`None` if the slices have no labels.

    Raises:
        ValueError: The label is unknown, not told among several, or its classes differ.
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

    Raises:
        ValueError: The values are no class numbers, or none of these classes.
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
