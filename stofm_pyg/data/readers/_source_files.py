import os
from collections.abc import Iterator
from pathlib import Path

from stofm_pyg.data.readers.find import SPATIAL_DATA, ZARR, Found, find_format

# What is read beside counts and positions, if it is there.
BESIDE = (
    "*scalefactors_json.json",
    "features.tsv*",
    "genes.tsv*",
    "barcodes.tsv*",
    "*fov_positions_file*",
)
# Of folders that are read as parts: pictures are not read.
OF_BINS = ("*.h5", "*.mtx*", "*.tsv*", "*.csv", "*.parquet", "*.json")
OF_SPATIAL_DATA = ("tables", "table", "shapes", "labels")


def source_files(path: str | os.PathLike) -> list[Path]:
    r"""Returns the files that :meth:`~stofm_pyg.data.read` may read of a source, sorted: what it gives
    depends on their content alone.

    Args:
        path (str or PathLike): The file or folder.

    Raises:
        FileNotFoundError: There is nothing.
        ValueError: It is of none of the formats.
    """
    path = Path(path).expanduser()
    found = find_format(path)
    return sorted({file for file in _files(found) if file.is_file()})


def _files(found: Found) -> Iterator[Path]:
    if found.name == ZARR:
        yield from found.path.rglob("*")
    elif found.name == SPATIAL_DATA:
        yield from found.path.glob("*")
        for name in OF_SPATIAL_DATA:
            yield from (found.path / name).rglob("*")
    elif found.files is None:
        yield found.path
    else:
        for file in found.files.values():
            patterns = OF_BINS if file.is_dir() else BESIDE
            yield file
            for pattern in patterns:
                yield from file.parent.rglob(pattern) if file.is_dir() else file.parent.glob(pattern)
