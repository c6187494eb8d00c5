r"""The options that say how slices are made, the same for all commands."""

import argparse
from pathlib import Path

from stofm_pyg.data import SliceSettings
from stofm_pyg.loader import SpatialClusterData
from stofm_pyg.transforms import NormalizePosition

WHERE = ("slice_key", "spatial_key", "layer", "microns_per_unit")
HOW = ("unit", "radius", "max_clusters", "cells_per_part", "method", "num_features", "orthologues")


def add_where(parser: argparse.ArgumentParser):
    r"""Adds the options that say where things are found in a file."""
    default = SliceSettings()
    add = parser.add_argument
    add("--slice-key", metavar="NAME", help=f"the column of obs that tells slices apart "
        f"('{default.slice_key}', where there is one)")  # fmt: skip
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
    add("--radius", type=float, default=default.radius, help="cells so near are joined")
    add("--max-clusters", type=int, default=default.max_clusters, help="the most virtual cells")
    add("--cells-per-part", type=int, default=default.cells_per_part, help="cells of a subpatch")
    add("--method", choices=SpatialClusterData.methods, default=default.method,
        help="how slices are cut into subpatches")  # fmt: skip
    add("--num-features", type=int, default=default.num_features, help="principal components")
    add("--orthologues", metavar="FILE", help="mouse genes and their human genes, for tokens")


def given_where(args: argparse.Namespace) -> dict:
    r"""The options of :meth:`add_where` that were given."""
    values = {name: getattr(args, name) for name in WHERE}
    return {name: value for name, value in values.items() if value is not None}


def slice_settings(args: argparse.Namespace, **others) -> SliceSettings:
    r"""The settings that a command line says."""
    how = {name: getattr(args, name) for name in HOW}
    return SliceSettings().replace(**{**how, **given_where(args), **others})


def slice_files(slices: list[str]) -> list[Path]:
    r"""The files that a command line names, those of folders among them.

    Raises:
        ValueError: A folder holds no h5ad file.
    """
    out = []
    for path in map(Path, slices):
        found = sorted(path.glob("*.h5ad")) if path.is_dir() else [path]
        if not found:
            raise ValueError(f"The folder '{path}' has no file '*.h5ad'; name files or another folder")
        out += found
    return out
