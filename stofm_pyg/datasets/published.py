import logging
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from stofm_pyg._files import file_hash, write_atomically
from stofm_pyg.data import SliceSettings
from stofm_pyg.data.errors import known_names
from stofm_pyg.datasets._published_table import PUBLISHED, PublishedFile
from stofm_pyg.datasets.h5ad_slices import H5adSlices

logger = logging.getLogger(__name__)

TIMEOUT = 60.0  # Seconds without an answer.
FOLDER = "STOFM_PYG_DATA"


class PublishedSlices(H5adSlices):
    r"""A published data set, downloaded once, as a PyG dataset of one
    :class:`~torch_geometric.data.Data` per slice.

    Files are checked against the hash that is known of them, else against that of their first download,
    which is kept beside them. A file that was downloaded by hand is taken where it lies under the name
    that :obj:`raw_file_names` says.

    Args:
        name (str): The name of the data set, see :meth:`published_names`.
        root (str or PathLike, optional): The folder that holds a folder for each data set. If
            :obj:`None`, it is the value of the environment variable :obj:`STOFM_PYG_DATA`, else
            :obj:`~/.cache/stofm_pyg`. (default: :obj:`None`)
        settings (SliceSettings, optional): How slices are made. (default: :obj:`None`)
        labels (str or sequence of str, optional): Columns of :obj:`obs` to take along. If :obj:`None`,
            the one that the data set is known for. (default: :obj:`None`)
        transform (callable, optional): Applied to a slice at each access. (default: :obj:`None`)
        **kwargs (optional): Other arguments of :class:`H5adSlices`.

    Raises:
        ValueError: The name is unknown, or a file is not the one that was published.
        OSError: A file cannot be downloaded or written.

    Example:
        >>> dataset = PublishedSlices("dlpfc")
        >>> [data.name for data in dataset]
        ['dlpfc:151673', 'dlpfc:151674', 'dlpfc:151675', 'dlpfc:151676']
    """

    def __init__(
        self,
        name: str,
        root: str | os.PathLike | None = None,
        settings: SliceSettings | None = None,
        *,
        labels: str | Sequence[str] | None = None,
        transform: Callable | None = None,
        **kwargs,
    ):
        check_name(name)
        self.data_name = name
        folder = _root(root) / name
        labels = PUBLISHED[name].label if labels is None else labels
        super().__init__(
            [folder / "raw" / f"{name}.h5ad"],
            settings,
            labels=labels,
            root=str(folder),
            transform=transform,
            **kwargs,
        )

    @property
    def raw_file_names(self) -> list[str]:
        r"""The names of the files as they were published, and of the h5ad file that is made of them."""
        return [file.name for file in PUBLISHED[self.data_name].files] + [f"{self.data_name}.h5ad"]

    def download(self):
        r"""Downloads what is missing, checks it, and makes the h5ad file."""
        download_published(self.data_name, Path(self.root).parent)


def published_names() -> list[str]:
    r"""The names of the data sets that :class:`PublishedSlices` knows."""
    return list(PUBLISHED)


def published_label(name: str) -> str:
    r"""The column of labels that a published data set is known for."""
    check_name(name)
    return PUBLISHED[name].label


def download_published(name: str, root: str | os.PathLike | None = None) -> Path:
    r"""Returns the h5ad file of a published data set, which is made of what is downloaded, once.

    Args:
        name (str): The name of the data set.
        root (str or PathLike, optional): See :class:`PublishedSlices`. (default: :obj:`None`)

    Raises:
        ValueError: The name is unknown, or a file is not the one that was published.
        OSError: A file cannot be downloaded or written.
    """
    check_name(name)
    known = PUBLISHED[name]
    folder = _root(root) / name / "raw"
    made = folder / f"{name}.h5ad"
    if made.is_file():
        return made
    folder.mkdir(parents=True, exist_ok=True)
    for file in known.files:
        _fetch(file, folder / file.name)
    adata = known.read([folder / file.name for file in known.files])
    adata.uns["source"] = f"{known.about}; {known.files[0].url}"
    write_atomically(made, adata.write_h5ad)
    return made


def check_name(name: str):
    r"""Raises a ValueError if a data set is unknown, which lists the known."""
    if name not in PUBLISHED:
        raise ValueError(f"Unknown published data set '{name}'; {known_names(name, PUBLISHED)}")


def _root(root: str | os.PathLike | None) -> Path:
    return Path(root or os.environ.get(FOLDER) or "~/.cache/stofm_pyg").expanduser()


def _fetch(file: PublishedFile, path: Path):
    kept = path.with_name(path.name + ".sha256")
    if not path.is_file():
        logger.info("Downloading %s", file.url)
        try:
            write_atomically(path, lambda part: _copy(file.url, part))
        except (urllib.error.URLError, TimeoutError) as error:
            raise OSError(
                f"{file.url} cannot be downloaded ({getattr(error, 'reason', None) or error}); try "
                f"again, or download it by hand to '{path}'"
            ) from error
    found = file_hash(path)
    wanted = file.sha256 or (kept.read_text(encoding="utf-8").strip() if kept.is_file() else None)
    if wanted is None:
        logger.warning("The hash of '%s' is not known; that of now, %s, is kept", path, found)
        write_atomically(kept, lambda part: part.write_text(found + "\n", encoding="utf-8"))
    elif found != wanted:
        raise ValueError(
            f"'{path}' has the SHA-256 {found}, not {wanted}: it is damaged, or {file.url} has changed. "
            f"Remove the file and try again" + ("" if file.sha256 else f", with '{kept}' if it is meant")
        )


def _copy(url: str, path: Path):
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, open(path, "wb") as out:
        shutil.copyfileobj(answer, out)
        told = answer.headers.get("Content-Length")
    if told is not None and path.stat().st_size != int(told):
        raise urllib.error.URLError(f"{path.stat().st_size:,} of {int(told):,} bytes came")
