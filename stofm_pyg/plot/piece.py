r"""One slice to be drawn, from whatever holds it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from torch_geometric.data import Batch, Data

from stofm_pyg.data import Keys
from stofm_pyg.data.errors import unknown_key
from stofm_pyg.data.slices.files import opened_anndata
from stofm_pyg.data.slices.labels import encode_labels
from stofm_pyg.data.slices.positions import get_positions
from stofm_pyg.data.slices.rows import slice_rows
from stofm_pyg.nn.node_type import cell_mask
from stofm_pyg.plot.checks import as_array, check_numbers, checked_positions
from stofm_pyg.plot.scale_bar import Length, unit_length

Slices = AnnData | str | os.PathLike | Data | Sequence[Data] | Sequence[Mapping[str, Any]]


@dataclass
class Piece:
    r"""One slice to be drawn.

    Args:
        name (str): Its name.
        pos (np.ndarray): The positions of its cells :math:`(N, 2)`.
        length (Length, optional): How long their unit is.
        values (dict): Class numbers of the cells :math:`(N)` by key, -1 where unknown.
        classes (dict): The names of the classes by key.
        colors (dict): Colours by name of the class, by key, where there are some.
    """

    name: str
    pos: np.ndarray
    length: Length | None = None
    values: dict[str, np.ndarray] = field(default_factory=dict)
    classes: dict[str, list[str]] = field(default_factory=dict)
    colors: dict[str, dict[str, Any]] = field(default_factory=dict)


def read_pieces(
    slices: Slices,
    keys: Sequence[str | None],
    slice_key: str | None = Keys.SLICE,
    spatial_key: str = Keys.SPATIAL,
    microns_per_unit: float | None = None,
) -> list[Piece]:
    r"""Returns the slices to be drawn.

    Args:
        slices (AnnData, str, PathLike, Data, or sequence of Data or dict): The slices.
        keys (sequence of str): The classes that are drawn: columns of :obj:`adata.obs`, keys of the
            :class:`Data` (if :obj:`None`, the only label) or of the dict.
        slice_key (str, optional): The column of :obj:`adata.obs` that tells slices apart.
            (default: :obj:`"slice"`)
        spatial_key (str, optional): The key of positions in :obj:`adata.obsm`.
            (default: :obj:`"spatial"`)
        microns_per_unit (float, optional): The length of the unit of positions, where it is known.
            (default: :obj:`None`)

    Raises:
        ValueError: There is no slice, no such key, or what it holds does not fit.
    """
    if isinstance(slices, (AnnData, str, os.PathLike)):
        with opened_anndata(slices) as adata:
            pieces = _of_anndata(adata, keys, slice_key, spatial_key, microns_per_unit)
    else:
        if isinstance(slices, Batch):
            slices = slices.to_data_list()
        several = [slices] if isinstance(slices, (Data, Mapping)) else list(slices)
        pieces = [
            _of_data(item, keys, microns_per_unit)
            if isinstance(item, Data)
            else _of_dict(item, number, keys, several[0], microns_per_unit)
            for number, item in enumerate(several)
        ]
    if not pieces:
        raise ValueError("There is no slice to draw; pass at least one")
    for piece in pieces[1:]:
        for key, classes in piece.classes.items():
            if classes != pieces[0].classes[key]:
                raise ValueError(
                    f"Classes of slice {piece.name!r} are {classes}, of the first "
                    f"{pieces[0].classes[key]}; give all slices the same, for they share the colours"
                )
    return pieces


def class_column(obs: pd.DataFrame, key: str) -> tuple[np.ndarray, list[str]]:
    r"""Returns a column of :obj:`adata.obs` as class numbers :math:`(N)` and their names.

    Raises:
        ValueError: There is no such column, or it holds measurements.
    """
    if key not in obs:
        raise unknown_key(key, "adata.obs", obs.columns)
    try:  # Under a name that no slice reserves.
        codes, names = encode_labels(obs[[key]].set_axis(["label"], axis=1), "label", log=False)
    except ValueError as error:
        raise ValueError(str(error).replace("'label'", repr(key))) from error
    return codes["label"], names["label"]


def kept_colors(adata: AnnData, key: str, classes: Sequence[str]) -> dict[str, Any]:
    r"""Returns the colours that the AnnData has for a column, by the names of its classes, as scanpy
    and squidpy keep them in :obj:`adata.uns`."""
    colors = adata.uns.get(f"{key}_colors")
    if colors is None or len(colors) < len(classes):
        return {}
    return dict(zip(classes, colors, strict=False))


def _of_anndata(
    adata: AnnData,
    keys: Sequence[str | None],
    slice_key: str | None,
    spatial_key: str,
    microns_per_unit: float | None,
) -> list[Piece]:
    pos, unit = get_positions(adata, spatial_key), adata.uns.get(Keys.UNIT)
    columns = {key: class_column(adata.obs, key) for key in keys}
    colors = {key: kept_colors(adata, key, names) for key, (_, names) in columns.items()}
    return [
        Piece(
            name,
            pos[rows],
            unit_length(pos[rows], unit, microns_per_unit),
            {key: codes[rows] for key, (codes, _) in columns.items()},
            {key: names for key, (_, names) in columns.items()},
            colors,
        )
        for name, rows in slice_rows(adata, slice_key)
    ]


def _of_data(data: Data, keys: Sequence[str | None], microns_per_unit: float | None) -> Piece:
    where = f" of slice {data.name!r}" if data.get("name") else ""
    is_cell = as_array(cell_mask(data))
    pos = checked_positions(data.pos, where)[is_cell]
    piece = Piece(data.get("name") or "", pos, unit_length(pos, data.get("unit"), microns_per_unit))
    known = data.get("classes") or {}
    for wanted in keys:
        key = next(iter(known)) if wanted is None and len(known) == 1 else wanted
        if key is None or data.get(key) is None:
            raise unknown_key(
                "a label" if key is None else key, "data", known, "Name the label to draw by 'key='."
            )
        codes = as_array(data[key])
        codes = codes[is_cell] if len(codes) == len(is_cell) else codes
        names = known.get(key) or [str(number) for number in range(int(codes.max(initial=-1)) + 1)]
        check_numbers(pos, codes, len(names), f" in {key!r}{where}")
        piece.values[wanted], piece.classes[wanted] = codes, list(names)
    return piece


def _of_dict(
    given: Mapping[str, Any],
    number: int,
    keys: Sequence[str | None],
    first: Mapping[str, Any],
    microns_per_unit: float | None,
) -> Piece:
    missing = [key for key in ("name", "pos", "classes", *keys) if key not in given]
    if missing:
        raise ValueError(
            f"Slice {number} has no {missing[0]!r} but {sorted(given)}; add it to the dict"
        )
    where = f" of slice {given['name']!r}"
    pos, classes = checked_positions(given["pos"], where), list(given["classes"])
    if classes != list(first["classes"]):
        raise ValueError(
            f"Classes{where} are {classes}, of the first {first['classes']}; give all slices the same, "
            f"for they share the colours"
        )
    piece = Piece(str(given["name"]), pos, unit_length(pos, given.get("unit"), microns_per_unit))
    for key in keys:
        piece.values[key], piece.classes[key] = as_array(given[key]), classes
        check_numbers(pos, piece.values[key], len(classes), f" in {key!r}{where}")
    return piece


def default_key(slices: Slices, key: str | None, of_anndata: str) -> str | None:
    r"""Returns the key of the classes to draw where none is named."""
    if key is not None or isinstance(slices, (Data, Batch)):
        return key
    if isinstance(slices, (AnnData, str, os.PathLike)):
        return of_anndata
    first = slices if isinstance(slices, Mapping) else next(iter(slices), {})
    return None if isinstance(first, Data) else "prediction"
