from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from torch_geometric.data import Data

from stofm_pyg.data.unknown_key import unknown_key

# Keys of the contract, keys that transforms set, and keys that PyG gives a meaning of its own.
RESERVED = {"x", "pos", "node_type", "cell_id", "edge_index", "edge_attr", "cluster", "classes"}
RESERVED |= {"name", "unit", "file", "mask", "target", "row", "face", "ptr"}
# PyG adds an offset to keys with these in their name in a batch, or takes them for edges.
RESERVED_PARTS = ("batch", "index", "edge")


def encode_labels(
    obs: pd.DataFrame,
    columns: str | Sequence[str] | None,
    classes: Mapping[str, Sequence[str]] | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    r"""Returns columns of :obj:`adata.obs` as class numbers, and the names of the classes.

    Args:
        obs (pd.DataFrame): One row per cell.
        columns (str or sequence of str, optional): The columns to encode.
        classes (dict, optional): Names of the classes of a column, in order, *e.g.*, those of
            another slice. Without it, these are the categories of a categorical column (used or
            not) or the sorted values of any other. (default: :obj:`None`)

    Returns:
        For each column, int64 :math:`(N)` with -1 where unknown (NaN, :obj:`None`, :obj:`pd.NA`),
        and a list of names.
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
        codes[column], names[column] = _encode(obs[column])
        if classes is not None and column in classes:
            given = [str(name) for name in classes[column]]
            codes[column] = _renumber(codes[column], names[column], given, column)
            names[column] = given
    return codes, names


def _is_reserved(column: str) -> bool:
    return (
        column in RESERVED
        or column.startswith("_")
        or any(part in column for part in RESERVED_PARTS)
        or (hasattr(Data, column) and column != "y")
    )


def _encode(values: pd.Series) -> tuple[np.ndarray, list[str]]:
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


def _renumber(
    codes: np.ndarray, names: Sequence[str], target: Sequence[str], column: str
) -> np.ndarray:
    number = {name: code for code, name in enumerate(target)}
    lookup = np.array([number.get(name, -1) for name in names] + [-1], dtype=np.int64)
    lost = (codes >= 0) & (lookup[codes] < 0)
    if lost.any():
        raise ValueError(
            f"The label {column!r} holds {names[codes[lost][0]]!r}, which is not among the given "
            f"classes {list(target)}. Add it to 'classes', or set these cells to NaN."
        )
    return lookup[codes]
