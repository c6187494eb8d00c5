import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from anndata import AnnData

from stofm_pyg.data.readers import read
from stofm_pyg.data.slices.lazy import with_tables


def open_anndata(source: AnnData | str | os.PathLike) -> AnnData:
    r"""Opens an h5ad file without reading its counts, reads a file or folder of another format, see
    :meth:`~stofm_pyg.data.read`, or returns the given :class:`~anndata.AnnData` as it is.

    An h5ad file is opened read-only in backed mode: its counts stay on disk until rows are asked for.
    The caller closes it with :obj:`adata.file.close()`; :meth:`opened_anndata` does so by itself.

    Args:
        source (AnnData or str or PathLike): An :class:`~anndata.AnnData` (in memory, a view, backed, or
            lazy) or the path of a file or folder.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: A package is not installed that the format needs.
        ValueError: It is truncated, damaged, or of none of the formats.
        TypeError: :obj:`source` is neither of the two.
    """
    if isinstance(source, AnnData):
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"Expected an AnnData or the path of a file or folder, got {type(source).__name__}. "
            f"Pass 'anndata.AnnData(X, obsm={{\"spatial\": positions}})' or a path."
        )
    return read(source, backed=True)


@contextmanager
def opened_anndata(source: AnnData | str | os.PathLike) -> Iterator[AnnData]:
    r"""A context in which :meth:`open_anndata` holds; a file opened by it is closed at the end. Of a
    lazy :class:`~anndata.AnnData`, the tables of cells and genes are in memory."""
    adata = open_anndata(source)
    try:
        yield with_tables(adata)
    finally:
        if adata is not source:
            adata.file.close()


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
        raise ValueError("'files' is empty. Name at least one file or folder.")
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
    r"""Returns names of files and folders: without suffix, and without the folder :obj:`outs` at the
    end, with as many folders as it takes to tell them apart."""
    stems = [_stem(file) for file in files]
    for depth in range(1, max((len(stem.parts) for stem in stems), default=0) + 1):
        names = ["/".join(stem.parts[-depth:]) for stem in stems]
        if len(set(names)) == len(names):
            return names
    return [str(file) for file in files]


def _stem(path: Path) -> Path:
    if path.name == "outs":
        return path.parent
    if path.is_dir() and path.suffix != ".zarr":  # What follows a dot there is part of the name.
        return path
    path = path.with_suffix("") if path.suffix == ".gz" else path
    return path.with_suffix("")
