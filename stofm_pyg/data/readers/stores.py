import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
from anndata import AnnData, read_h5ad, read_zarr

from stofm_pyg.data.keys import Keys
from stofm_pyg.data.readers._imported import imported
from stofm_pyg.data.readers.damage import DamagedFile, damage_named
from stofm_pyg.data.readers.hdf5 import check_hdf5

ZARR = "Stores of zarr"

TABLES = ("tables", "table")
#: The two groups that are in each AnnData, wherever it is kept.
GROUPS = ("obs", "var")


def open_h5ad(path: Path, backed: bool) -> AnnData:
    r"""Opens an h5ad file.

    Args:
        path (Path): The file.
        backed (bool): Whether counts stay in the file.

    Raises:
        ValueError: It is truncated, damaged, or no h5ad file.
    """
    with damage_named(path, "h5ad file"):
        with h5py.File(path, "r") as file:
            check_hdf5(file, path)
            missing = [key for key in GROUPS if key not in file]
        if not missing:
            return read_h5ad(path, backed="r" if backed else None)
    raise ValueError(
        f"'{path}' is an HDF5 file but no h5ad file: it has no {' and no '.join(missing)}. Write "
        f"one with 'adata.write_h5ad'."
    )


@contextmanager
def opened_store(path: Path) -> Iterator[Any]:
    r"""A context with an AnnData on disk, h5ad or zarr, as a group of which parts can be read.

    Args:
        path (Path): The file or folder.

    Raises:
        ImportError: It is zarr, which is not installed.
        ValueError: It is truncated, damaged, or no AnnData.
    """
    is_file = path.is_file()
    kind = "h5ad file" if is_file else "AnnData in zarr"
    zarr = None if is_file else imported("zarr", ZARR)
    with damage_named(path, kind):
        group = h5py.File(path, "r") if is_file else zarr.open_group(path, mode="r")
        try:
            if is_file:
                check_hdf5(group, path)
            wanted = h5py.Group if is_file else zarr.Group
            if not all(isinstance(group.get(name), wanted) for name in GROUPS):
                raise DamagedFile(
                    f"'{path}' is no {kind}, or one of a very old anndata: it has no groups 'obs' and "
                    f"'var'. Write it with 'anndata.read_h5ad(...).write_h5ad(...)'."
                )
            if not is_file:
                _check_whole(group)
            yield group
        finally:
            if is_file:
                group.close()


def read_anndata_zarr(path: Path) -> AnnData:
    r"""Reads an AnnData from a local zarr store of version 2 or 3.

    Raises:
        ValueError: It is damaged.
    """
    zarr = imported("zarr", ZARR)
    with damage_named(path, "AnnData in zarr"):
        _check_whole(zarr.open_group(path, mode="r"))
        return read_zarr(path)


def _check_whole(group: Any) -> None:
    # What is missing of an array of zarr is read as zeros; of these, no chunk is zero throughout.
    arrays = [group[name].get(group[name].attrs.get("_index", "_index")) for name in GROUPS]
    matrices = [name for name in ("X", *(f"layers/{key}" for key in group.get("layers", ())))]
    for name in matrices:
        if f"{name}/indptr" not in group:
            continue
        arrays.append(group[f"{name}/data"])
        if min(group[name].attrs.get("shape", (0,))) > 1:
            arrays.append(group[f"{name}/indices"])
        stored, ends = group[f"{name}/data"].shape[0], group[f"{name}/indptr"][:]
        if int(ends[-1]) != stored or (ends[1:] < ends[:-1]).any():
            raise ValueError(f"'{name}/indptr' ends at {int(ends[-1])}, there are {stored} values")
    spatial = f"obsm/{Keys.SPATIAL}"
    arrays.append(group[spatial] if spatial in group else None)
    for array in arrays:
        there = getattr(array, "nchunks_initialized", None)
        if there is not None and there < array.nchunks:
            raise ValueError(f"of '{array.name}' there are {there} chunks instead of {array.nchunks}")


def is_zarr(path: Path) -> bool:
    r"""Whether a folder is a group of zarr, of version 2 or 3."""
    return (path / ".zgroup").is_file() or (path / "zarr.json").is_file()


def is_anndata_zarr(path: Path) -> bool:
    r"""Whether a folder is an AnnData in zarr."""
    return is_zarr(path) and all(is_zarr(path / name) for name in GROUPS)


def spatial_data_of(path: Path) -> tuple[Path, str | None] | None:
    r"""Returns the SpatialData that a folder is, or that it is a table of, and the name of the table
    then; :obj:`None` where it is neither."""
    if path.parent.name in TABLES and is_anndata_zarr(path) and is_zarr(path.parent.parent):
        return path.parent.parent, path.name
    is_one = is_zarr(path) and any(is_zarr(path / name) for name in (*TABLES, "shapes", "labels"))
    return (path, None) if is_one else None


def attributes(path: Path) -> dict[str, Any]:
    r"""Returns the attributes of a group of zarr, of version 2 or 3.

    Raises:
        ValueError: They are damaged.
    """
    with damage_named(path, "group of zarr"):
        if (path / "zarr.json").is_file():
            return json.loads((path / "zarr.json").read_text(encoding="utf-8")).get("attributes", {})
        file = path / ".zattrs"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def table_names(path: Path) -> list[str]:
    r"""Returns the names of the tables of a SpatialData, sorted."""
    found = {folder for name in TABLES for folder in (path / name).glob("*") if is_zarr(folder)}
    return sorted(folder.name for folder in found)
