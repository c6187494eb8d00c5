r"""Slices with their graph, from whatever holds them."""

import os
from collections.abc import Sequence

import torch
from anndata import AnnData
from torch_geometric.data import Batch, Data

from stofm_pyg.data import SliceSettings, slices_from_anndata
from stofm_pyg.data.slices.convert import place_cells
from stofm_pyg.data.slices.files import opened_anndata
from stofm_pyg.data.slices.names import name_hashes
from stofm_pyg.data.slices.positions import get_positions
from stofm_pyg.data.slices.rows import slice_rows

Source = AnnData | str | os.PathLike | Data | Sequence[Data]


def placed_slices(source: Source, settings: SliceSettings | None = None, **changes) -> list[Data]:
    r"""Returns slices with positions and a graph; those of an AnnData have neither features nor virtual
    cells.

    Args:
        source (AnnData, str, PathLike, Data or sequence of Data): The slices.
        settings (SliceSettings, optional): How slices are made of an AnnData. (default: :obj:`None`)
        **changes (optional): Values of the settings by name.

    Raises:
        ValueError: There is no slice, or one has no graph.
    """
    settings = (settings or SliceSettings()).replace(**changes)
    if isinstance(source, (AnnData, str, os.PathLike)):
        with opened_anndata(source) as adata:
            pos = get_positions(adata, settings.spatial_key)
            groups = slice_rows(adata, settings.slice_key)
            hashes = torch.from_numpy(name_hashes(adata.obs_names))
        slices = [place_cells(pos[rows], settings, name) for name, rows in groups]
        for data, (_, rows) in zip(slices, groups, strict=True):
            data.cell_hash = hashes[rows]
        return slices
    slices = as_slices(source)
    for data in slices:
        if data.get("edge_index") is None:
            raise ValueError("A slice has no graph to draw; apply 'SpatialRadiusGraph' first")
    return slices


def as_slices(source: Source, settings: SliceSettings | None = None, **changes) -> list[Data]:
    r"""Returns slices with all that they hold; those of an AnnData are converted, with principal
    components as features. The arguments are those of :meth:`placed_slices`."""
    if isinstance(source, (AnnData, str, os.PathLike)):
        return slices_from_anndata(source, settings, **changes)
    if isinstance(source, Batch):
        source = source.to_data_list()
    slices = [source] if isinstance(source, Data) else list(source)
    if not slices:
        raise ValueError("There is no slice to draw; pass at least one")
    return slices


def settings_of(data: Data) -> SliceSettings:
    r"""Returns the settings that a slice was made by, as far as it says so."""
    text = data.get("settings")
    return SliceSettings.from_json(text) if isinstance(text, str) else SliceSettings()
