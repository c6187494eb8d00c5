from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from stofm_pyg.corpus.shard_file import FORMAT, MARK, VERSION, mark, shard_path
from stofm_pyg.data import CellTokens


class Shard:
    r"""A slice of a :class:`Corpus` on disk, its cells sorted by subpatch.

    Nothing is read before it is asked for, and only what is asked for. The file is opened once per
    process, also if a shard was pickled.

    Args:
        directory (Path): The corpus.
        entry (dict): What its manifest says of the slice.
        fingerprint (str): The fingerprint of the vocabulary.
    """

    def __init__(self, directory: Path, entry: Mapping[str, Any], fingerprint: str):
        self.entry = entry
        self.path = shard_path(directory, entry["key"])
        self.fingerprint = fingerprint
        self._file = None
        #: Where each subpatch begins and the last one ends, :math:`(P + 1)`.
        self.part_ptr = torch.tensor(entry["part_ptr"])

    @property
    def name(self) -> str:
        r"""The name of the slice, unique in its corpus."""
        return self.entry["name"]

    @property
    def file(self) -> str:
        r"""The file that the slice was in."""
        return self.entry["file"]

    @property
    def key(self) -> str:
        r"""A hash of all that the shard depends on."""
        return self.entry["key"]

    @property
    def num_cells(self) -> int:
        r"""The number of cells."""
        return self.entry["cells"]

    @property
    def num_parts(self) -> int:
        r"""The number of subpatches."""
        return self.entry["subpatches"]

    @property
    def num_virtual(self) -> int:
        r"""The number of virtual cells."""
        return self.entry["virtual_cells"]

    @property
    def cluster(self) -> Tensor:
        r"""The cluster of each cell :math:`(N)`, mapped from the file."""
        return self.tensor("cluster")

    @property
    def cell_id(self) -> Tensor:
        r"""The row of each cell in its file :math:`(N)`, mapped from the shard."""
        return self.tensor("cell_id")

    @property
    def pos(self) -> Tensor:
        r"""Positions of the cells :math:`(N, 2)`, mapped from the file."""
        return self.tensor("pos")

    @property
    def virtual_pos(self) -> Tensor:
        r"""Positions of the virtual cells :math:`(V, 2)`, mapped from the file."""
        return self.tensor("virtual_pos")

    def tokens(self) -> CellTokens:
        r"""The tokens of all cells, mapped from the file: a cell's come into memory when used."""
        return CellTokens(self.tensor("tokens"), self.tensor("ptr"), self.fingerprint)

    def tensor(self, name: str) -> Tensor:
        r"""A whole tensor, mapped from the file; see :meth:`convert_slice` for what there is."""
        return self._open().get_tensor(name)

    def read(self, name: str, start: int, end: int) -> Tensor:
        r"""Rows :obj:`start` to :obj:`end` of a tensor, in memory."""
        # A copy: what is mapped would take its whole file along to another process.
        return self._open().get_slice(name)[start:end].clone()

    def close(self):
        r"""Lets go of the file, until it is asked for again."""
        self._file = None

    def _open(self):
        if self._file is None:
            self._file = open_safetensors(self.path, FORMAT, VERSION, self.key)
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}('{self.name}', cells={self.num_cells}, parts={self.num_parts})"
        )


def open_safetensors(path: Path, form: str, version: int, key: str):
    r"""Opens a file of a corpus, after a look at its header.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is truncated, damaged, or something else.
    """
    mend = "Make it again: 'corpus build' notices by itself what is damaged."
    if not path.is_file():
        raise FileNotFoundError(f"There is no file '{path}'. {mend}")
    try:
        file = safe_open(path, "pt")
    except SafetensorError as error:
        raise ValueError(f"'{path}' is truncated or damaged ({error}). {mend}") from error
    found, wanted = (file.metadata() or {}).get(MARK), mark(form, version, key)
    if found != wanted:
        raise ValueError(f"'{path}' holds {found!r}, expected {wanted!r}. {mend}")
    return file
