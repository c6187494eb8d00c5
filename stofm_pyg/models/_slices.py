from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from anndata import AnnData
from torch import Tensor
from torch_geometric.data import Data
from tqdm import tqdm

from stofm_pyg.data import to_anndata
from stofm_pyg.data.slices.cell_order import name_order, permute_nodes
from stofm_pyg.data.slices.convert import build_data
from stofm_pyg.data.slices.positions import get_positions
from stofm_pyg.data.slices.reader import SliceReader
from stofm_pyg.models.features import Features, GivenFeatures, PCAFeatures, TokenFeatures
from stofm_pyg.nn.node_type import cell_mask

if TYPE_CHECKING:
    from stofm_pyg.models.stofm import SToFM

# Where things are found may differ from AnnData to AnnData; all else belongs to the model.
WHERE = ("slice_key", "spatial_key", "layer", "microns_per_unit")


def model_slices(
    model: SToFM,
    source: AnnData | str | os.PathLike,
    cache: str | os.PathLike | None,
    where: Mapping[str, Any],
) -> Iterator[Data]:
    r"""Yields the slices of a source, made as those that a model was fitted to, one at a time."""
    reader = slice_reader(model, source, where)
    for name in reader.rows:
        data = read_slice(cast(Features, model.features), reader, name, cache)
        cells = cell_mask(data)
        in_file = torch.where(cells, data.cell_id, reader.num_cells).argsort(stable=True)
        yield permute_nodes(data, in_file)


def embed_sources(
    model: SToFM,
    source: AnnData | str | os.PathLike,
    embedded: Callable[[Data], Tensor],
    key_added: str | None,
    cache: str | os.PathLike | None,
    where: Mapping[str, Any],
    bar: tqdm,
) -> AnnData | Tensor:
    r"""Embeds the slices of a source, see :meth:`SToFM.embed`; the bar is told how many cells it
    has."""
    if isinstance(source, AnnData) and key_added is not None:
        check_writable(source)
        check_key(key_added, "obsm", model, source, where)
    reader = slice_reader(model, source, where)
    bar.total += reader.num_cells
    bar.refresh()
    slices, parts = [], []
    for name in reader.rows:
        data = read_slice(cast(Features, model.features), reader, name, cache)
        parts.append(embedded(data))
        cells = data.cell_id[cell_mask(data)]
        slices.append(Data(cell_id=cells, num_nodes=cells.numel()))
    if isinstance(source, AnnData) and key_added is not None:
        return to_anndata(slices, source, embedding=parts, embedding_key=key_added)
    z = torch.empty(reader.num_cells, parts[0].size(1))
    for data, part in zip(slices, parts, strict=True):
        z[data.cell_id] = part
    return z


def check_writable(adata: AnnData):
    r"""Checks that columns can be written to something.

    Raises:
        TypeError: It is no AnnData.
        ValueError: It is a view of a backed file.
    """
    if not isinstance(adata, AnnData):
        raise TypeError(
            f"Expected an AnnData to write to, got {type(adata).__name__}; open a file by "
            f"'anndata.read_h5ad'"
        )
    if adata.is_view and adata.isbacked:
        raise ValueError(
            f"Cannot write to a view of the backed file '{adata.filename}'. Call 'adata = "
            f"adata.to_memory()' first."
        )


def check_key(
    key: str, table: str, model: SToFM, adata: AnnData, where: Mapping[str, Any]
) -> None:
    r"""Checks that results can be written under a key of :obj:`obs` or :obj:`obsm`, and take the place
    of nothing that they are made of.

    Args:
        key (str): The key.
        table (str): :obj:`"obs"` or :obj:`"obsm"`.
        model (SToFM): The model.
        adata (AnnData): What is written to.
        where (dict): Where things are found, if not where the model says.

    Raises:
        ValueError: It is empty, holds a slash, of which a file would make a folder, or what the model
            reads.
    """
    places = ("slice_key", "spatial_key")
    slice_key, spatial_key = (where.get(name, getattr(model.settings, name)) for name in places)
    read = (slice_key,) if table == "obs" else (spatial_key, getattr(model.features, "obsm", None))
    if not isinstance(key, str) or not key or "/" in key:
        raise ValueError(f"Nothing can be kept in 'adata.{table}' as {key!r}; pass another 'key_added='")
    if key in read and key in getattr(adata, table):
        raise ValueError(
            f"'adata.{table}[{key!r}]' is what the model reads, and would be lost; pass another "
            f"'key_added='"
        )


def slice_reader(
    model: SToFM, source: AnnData | str | os.PathLike, where: Mapping[str, Any]
) -> SliceReader:
    r"""Returns what reads the slices of a source for a model.

    Raises:
        TypeError: An argument says no place.
        ValueError: The model has no features that an AnnData can be given, or there are no cells.
    """
    if not isinstance(source, (AnnData, str, os.PathLike)):
        raise TypeError(
            f"Expected an AnnData, the path of a file or folder, or slices, got "
            f"{type(source).__name__}; pass several as a list"
        )
    if model.features is None:
        raise ValueError(
            "The model has no features of its own and takes no AnnData; give it a cell encoder by "
            "'set_cell_encoder', or convert the AnnData and pass the slices"
        )
    if isinstance(model.features, GivenFeatures):
        model.features.encode(source)  # Says why it cannot.
    unknown = [name for name in where if name not in WHERE]
    if unknown:
        raise TypeError(
            f"Unknown argument '{unknown[0]}'; where things are found is said by {', '.join(WHERE)}, "
            f"all else is the model's"
        )
    settings = model.settings.replace(**where)
    reader = SliceReader(source, settings, required="slice_key" in where)
    if reader.num_cells == 0:
        raise ValueError("The AnnData has 0 cells; check the filter that was applied to it")
    return reader


def read_slice(features: Features, reader: SliceReader, name: str, cache) -> Data:
    r"""Reads a slice, with its cells in the order of their names, and makes it."""
    if isinstance(features, PCAFeatures):  # Counts are never in memory all at once.
        adata = reader.read(name, reader.settings.spatial_key)
        get_positions(adata, reader.settings.spatial_key)  # Errors name rows of the source.
        order = name_order(adata.obs_names)
        x = features.encode_blocks(adata, partial(reader.count_blocks, name))[order]
        adata, rows = adata[order].copy(), reader.rows[name][order]
    else:
        adata, rows = reader.read_by_name(name, features.obsm)
        own = {"cache": cache} if isinstance(features, TokenFeatures) else {}
        x = features.encode(adata, **own)
    pos = get_positions(adata, reader.settings.spatial_key)
    settings = reader.settings.replace(slice_key=None)
    cells = adata.obs_names
    data = build_data(np.asarray(x), pos, rows, settings, name=name, cells=cells)
    data.features = features.fingerprint()
    return data
