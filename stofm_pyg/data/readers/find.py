import os
from pathlib import Path
from typing import NamedTuple

import h5py

from stofm_pyg.data.readers import stores
from stofm_pyg.data.readers.cosmx import COSMX
from stofm_pyg.data.readers.format import Format
from stofm_pyg.data.readers.merscope import MERSCOPE
from stofm_pyg.data.readers.slide_seq import SLIDE_SEQ
from stofm_pyg.data.readers.stereo_seq import STEREO_SEQ, is_gem
from stofm_pyg.data.readers.visium import VISIUM
from stofm_pyg.data.readers.visium_hd import VISIUM_HD
from stofm_pyg.data.readers.xenium import XENIUM

H5AD, ZARR, SPATIAL_DATA = "h5ad", "AnnData zarr", "SpatialData"
FOLDERS = (VISIUM_HD, VISIUM, XENIUM, MERSCOPE, COSMX, SLIDE_SEQ, STEREO_SEQ)
# Where the files of a folder may lie below it.
WITHIN = ("", "outs")
PICTURES = (".tif", ".tiff", ".btf", ".png", ".jpg", ".jpeg", ".svs", ".ndpi")
# Of files that are a source by themselves.
SUFFIXES = (".h5ad", ".gem", ".gem.gz", ".gef")
MOST_LISTED = 8


class Found(NamedTuple):
    r"""What a path turned out to be."""

    #: The name of the format.
    name: str
    #: The file, or the folder that holds the files.
    path: Path
    #: The format, where it is one of several files.
    format: Format | None = None
    #: Its files, by what they hold.
    files: dict[str, Path] | None = None
    #: The table of a SpatialData that the path names.
    table: str | None = None

    @property
    def is_store(self) -> bool:
        r"""Whether it is an AnnData on disk, of which parts can be read."""
        return self.name in (H5AD, ZARR)


def find_format(path: str | os.PathLike) -> Found:
    r"""Returns of which format a file or folder is.

    Args:
        path (str or PathLike): The file or folder.

    Raises:
        FileNotFoundError: There is nothing.
        ValueError: It is of none of the formats (the message says what was looked for, and what of it is
            missing), or it holds several samples.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"There is no file '{path}' (looked from '{Path.cwd()}'). Check the path, or download "
            f"or copy the file there."
        )
    found = _of_file(path) if path.is_file() else _of_folder(path)
    if found is None:
        raise ValueError(_nothing(path))
    return found


def _of_folder(path: Path) -> Found | None:
    spatial_data = stores.spatial_data_of(path)
    if spatial_data is not None:
        return Found(SPATIAL_DATA, spatial_data[0], table=spatial_data[1])
    if stores.is_anndata_zarr(path):
        return Found(ZARR, path)
    for folder in (path / part for part in WITHIN):
        for form in FOLDERS:
            found = _in_folder(form, folder)
            if found is not None:
                return found
    return None


def sources_in(path: str | os.PathLike) -> list[Path]:
    r"""Returns the sources of slices that a path names: itself where it is a file or of a format, else
    those right below it that are, by name.

    Args:
        path (str or PathLike): The file or folder.

    Raises:
        FileNotFoundError: There is nothing.
        ValueError: The folder is of none of the formats, and holds none that is.
    """
    path = Path(path).expanduser()
    try:
        if not path.is_file():
            find_format(path)
        return [path]
    except ValueError:
        below = _below(path)
        if not below:
            raise
        return below


def _of_file(path: Path) -> Found:
    if path.suffix == ".gef" or (path.suffix != ".h5ad" and is_gem(path)):
        return Found(STEREO_SEQ.name, path, STEREO_SEQ, {"counts": path})
    if path.suffix == ".h5" and _is_tenx(path):
        raise ValueError(
            f"'{path}' holds counts of 10x without positions. Name the folder that holds those, too: "
            f"'spatial/tissue_positions.csv' of Visium, 'cells.parquet' or 'cells.csv.gz' of Xenium."
        )
    return Found(H5AD, path)


def _is_tenx(path: Path) -> bool:
    try:
        with h5py.File(path, "r") as file:
            return "matrix/barcodes" in file
    except OSError:
        return False


def _in_folder(form: Format, folder: Path) -> Found | None:
    found = {part.name: part.find(folder) for part in form.parts}
    if not all(found.values()):
        return None
    for name, files in found.items():
        if len(files) > 1 and name not in form.several:
            listed = ", ".join(repr(file.name) for file in files[:MOST_LISTED])
            raise ValueError(
                f"'{folder}' is {form.name} with {len(files)} files of {name}: {listed}. Put each "
                f"sample into a folder of its own."
            )
    return Found(form.name, folder, form, {name: files[0] for name, files in found.items()})


def _below(path: Path) -> list[Path]:
    # Files that are of a format by their names, and folders that are of one.
    out = []
    for inner in sorted(path.iterdir()):
        if inner.name.startswith("."):
            continue
        try:
            known = inner.name.endswith(SUFFIXES) if inner.is_file() else _of_folder(inner) is not None
        except (ValueError, OSError):  # Several samples, or a folder that is closed to us.
            known = False
        if known:
            out.append(inner)
    return out


def _nothing(path: Path) -> str:
    names = sorted(inner.name for inner in path.iterdir() if not inner.name.startswith("."))
    listed = ", ".join(repr(name) for name in names[:MOST_LISTED]) or "nothing"
    if len(names) > MOST_LISTED:
        listed += f" and {len(names) - MOST_LISTED} more"
    lines = [f"'{path}' is a folder of none of the formats that are read; it holds {listed}."]
    below = _below(path)
    if below:
        known = ", ".join(repr(inner.name) for inner in below[:MOST_LISTED])
        lines.append(f"Of a format are {known} in it: name one of these.")
    elif names and all(name.lower().endswith(PICTURES) for name in names):
        lines.append("Pictures have no positions of cells: cells must be found in them first.")
    for form in FOLDERS:
        for folder in (path / part for part in WITHIN):
            there = [part.name for part in form.parts if part.find(folder)]
            lacking = [part for part in form.parts if part.name not in there]
            if there and lacking:
                missing = " and ".join(f"{part.name} ('{part.patterns[0]}')" for part in lacking)
                lines.append(f"For {form.name} it has {' and '.join(there)}, but no {missing}.")
    lines.append("Looked for:")
    for form in FOLDERS:
        lines.append(f"  {form.name}: {' and '.join(repr(part.patterns[0]) for part in form.parts)}")
    lines.append("  AnnData or SpatialData in zarr: '.zgroup' or 'zarr.json'")
    lines.append("  h5ad: a file, not a folder")
    return "\n".join(lines)
