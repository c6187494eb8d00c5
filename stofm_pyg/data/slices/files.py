import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import anndata
import h5py
from anndata import AnnData


def open_anndata(source: AnnData | str | os.PathLike) -> AnnData:
    r"""Opens an h5ad file without reading its counts, or returns the given
    :class:`~anndata.AnnData` as it is.

    A file is opened read-only in backed mode: its counts stay on disk until rows are asked for.
    The caller closes it with :obj:`adata.file.close()`; :meth:`opened_anndata` does so by itself.

    Args:
        source (AnnData or str or PathLike): An :class:`~anndata.AnnData` (in memory, a view, or
            backed) or the path of an h5ad file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is truncated, damaged, or no h5ad file.
        TypeError: :obj:`source` is neither of the two.
    """
    if isinstance(source, AnnData):
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"Expected an AnnData or the path of an h5ad file, got {type(source).__name__}. "
            f"Pass 'anndata.AnnData(X, obsm={{\"spatial\": positions}})' or a path."
        )

    path = Path(source).expanduser()
    if path.is_dir():
        raise ValueError(
            f"'{path}' is a folder, not an h5ad file. Name a file in it, or read a zarr store "
            f"with 'anndata.read_zarr' and pass the AnnData."
        )
    if not path.exists():
        raise FileNotFoundError(
            f"There is no file '{path}' (looked from '{Path.cwd()}'). Check the path, or download "
            f"or copy the file there."
        )

    try:
        with h5py.File(path, "r") as file:
            missing = [key for key in ("obs", "var") if key not in file]
        if not missing:
            return anndata.read_h5ad(path, backed="r")
    except (PermissionError, BlockingIOError):
        raise
    except (OSError, RuntimeError, KeyError) as error:
        raise unreadable(path, error) from error
    raise ValueError(
        f"'{path}' is an HDF5 file but no h5ad file: it has no {' and no '.join(missing)}. Write "
        f"one with 'adata.write_h5ad'."
    )


@contextmanager
def opened_anndata(source: AnnData | str | os.PathLike) -> Iterator[AnnData]:
    r"""A context in which :meth:`open_anndata` holds; a file opened by it is closed at the end."""
    adata = open_anndata(source)
    try:
        yield adata
    finally:
        if adata is not source:
            adata.file.close()


def unreadable(path: str | os.PathLike, error: Exception) -> ValueError:
    r"""Returns the error for an h5ad file that cannot be read, naming its path and size."""
    return ValueError(
        f"'{path}' ({os.path.getsize(path):,} bytes) cannot be read: it is truncated, damaged or "
        f"no h5ad file ({error}). Download or copy it again and compare its size with the original."
    )


def file_paths(
    files: str | os.PathLike | Sequence[str | os.PathLike], links: bool = False
) -> list[Path]:
    r"""Returns the absolute paths of one or more files. A symbolic link keeps its own name, by which
    whoever made it knows the file.

    Args:
        files (str or PathLike or sequence of these): The files; they need not be there.
        links (bool, optional): Whether one file may have two names, of which the caller makes something.
            (default: :obj:`False`)

    Raises:
        ValueError: There is none, or one is named twice.
    """
    if isinstance(files, (str, os.PathLike)):
        files = [files]
    paths = [_absolute(Path(file).expanduser()) for file in files]
    if not paths:
        raise ValueError("'files' is empty. Name at least one h5ad file.")
    for number, path in enumerate(paths):
        if path in paths[:number]:
            raise ValueError(f"'{path}' is in 'files' twice. Name each file once.")
    known = {}
    for path in paths:
        other = known.setdefault(path.resolve(), path)
        if other != path and not links:
            raise ValueError(
                f"'{path}' is in 'files' twice: '{other}' is the same file. Name each file once."
            )
    return paths


def _absolute(path: Path) -> Path:
    # What is above the file is cleared of '..' alone, which may lead elsewhere through a link.
    path = path.absolute()
    return path.parent.resolve() / path.name if ".." in path.parts else path


def file_names(files: Sequence[Path]) -> list[str]:
    r"""Returns names of files: without suffix, with as many folders as it takes to tell them apart."""
    for depth in range(1, max((len(file.parts) for file in files), default=0) + 1):
        names = ["/".join(file.with_suffix("").parts[-depth:]) for file in files]
        if len(set(names)) == len(names):
            return names
    return [str(file) for file in files]
