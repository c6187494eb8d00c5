r"""The options that say how slices are made, the same for all commands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anndata import AnnData

from stofm_pyg.data import Keys, SliceSettings
from stofm_pyg.data.readers import sources_in
from stofm_pyg.data.slices.files import file_paths
from stofm_pyg.data.slices.rows import has_slices
from stofm_pyg.loader import SpatialClusterData
from stofm_pyg.transforms import NormalizePosition

if TYPE_CHECKING:
    from stofm_pyg.models import SToFM

#: What a command takes as slices.
SOURCES = "h5ad, AnnData or SpatialData in zarr, folders as instruments write them (Visium, Xenium ...)"
WHERE = ("slice_key", "spatial_key", "layer", "microns_per_unit")
HOW = ("unit", "radius", "max_clusters", "cells_per_part", "method", "num_features", "orthologues")


def add_slices(parser: argparse.ArgumentParser, text: str, nargs: str = "+"):
    r"""Adds the slices that a command reads.

    Args:
        parser (ArgumentParser): The parser of the command.
        text (str): What they are to the command.
        nargs (str, optional): How many may be named. (default: :obj:`"+"`)
    """
    parser.add_argument("slices", nargs=nargs, metavar="SLICES", help=f"{text}: {SOURCES}; or a folder "
        "that holds such")  # fmt: skip


def add_where(parser: argparse.ArgumentParser):
    r"""Adds the options that say where things are found in a file."""
    default = SliceSettings()
    add = parser.add_argument
    add("--slice-key", metavar="NAME", help="the column of obs that tells slices apart "
        f"('{default.slice_key}', where there is one); z: the third coordinate, too")  # fmt: skip
    add("--spatial-key", metavar="NAME", help="the key of the positions in obsm "
        f"('{default.spatial_key}')")  # fmt: skip
    add("--layer", metavar="NAME", help="the layer of the raw counts, if they are not in X")
    add("--microns-per-unit", type=float, metavar="X", help="of the positions in the files, for "
        "--unit micron")  # fmt: skip


def add_how(parser: argparse.ArgumentParser):
    r"""Adds the options that say how slices are made."""
    add_where(parser)
    default = SliceSettings()
    add = parser.add_argument
    add("--unit", choices=NormalizePosition.units, default=default.unit, help="the unit of distances")
    add("--radius", type=float, default=default.radius, metavar="X",
        help="cells so near are joined, in --unit")  # fmt: skip
    add("--max-clusters", type=int, default=default.max_clusters, metavar="N",
        help="the most virtual cells of a slice")  # fmt: skip
    add("--cells-per-part", type=int, default=default.cells_per_part, metavar="N",
        help="cells of a subpatch")  # fmt: skip
    add("--method", choices=SpatialClusterData.methods, default=default.method,
        help="how slices are cut into subpatches")  # fmt: skip
    add("--num-features", type=int, default=default.num_features, metavar="N",
        help="principal components")  # fmt: skip
    add("--orthologues", metavar="FILE", help="mouse genes and their human genes, for tokens")


def given_where(args: argparse.Namespace) -> dict:
    r"""The options of :meth:`add_where` that were given."""
    values = {name: getattr(args, name) for name in WHERE}
    return {name: value for name, value in values.items() if value is not None}


def slice_settings(args: argparse.Namespace, **others) -> SliceSettings:
    r"""The settings that a command line says."""
    how = {name: getattr(args, name) for name in HOW}
    return SliceSettings().replace(**{**how, **given_where(args), **others})


def model_settings(model: SToFM, args: argparse.Namespace) -> SliceSettings:
    r"""The settings of a saved model, but for where a command line says that things are found.

    Raises:
        ValueError: The command line says how slices are made, which is the model's.
    """
    default = SliceSettings()
    for name in HOW:
        if getattr(args, name) != getattr(default, name):
            option = name.replace("_", "-")
            raise ValueError(f"--{option} is the model's where --model is given; leave one of both out")
    return model.settings.replace(**given_where(args))


def slice_files(paths: Sequence[str]) -> list[Path]:
    r"""The sources of slices that a command line names, those right below a folder among them.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: A path is empty, a folder is of no format and holds nothing that is, or one source is
            named twice.
    """
    if not all(paths):
        raise ValueError("SLICES: a path is empty; name files or folders")
    sources = [source for path in paths for source in sources_in(path)]
    file_paths(sources, links=True)  # Says which one is there twice.
    return sources


def where_to_draw(adata: AnnData, settings: SliceSettings) -> dict:
    r"""Where the pictures of an AnnData find slices and positions, and how long their unit is where that
    is known.

    Args:
        adata (AnnData): The AnnData.
        settings (SliceSettings): Where a model or a command line says they are.
    """
    slices = has_slices(adata, settings.slice_key, settings.spatial_key)
    known = settings.unit == "micron" or adata.uns.get(Keys.UNIT) == "micron"
    return {
        "slice_key": settings.slice_key if slices else None,
        "spatial_key": settings.spatial_key,
        "microns_per_unit": settings.microns_per_unit if known else None,
    }
