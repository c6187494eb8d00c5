from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from stofm_pyg.corpus.shard_file import DIGEST, FORMAT, MARK, VERSION, mark, shard_path, tensors_digest
from stofm_pyg.data import CellTokens


class Shard:
    r"""A slice of a :class:`Corpus`, its cells sorted by subpatch, on disk or in memory.

    Nothing is read before it is asked for, and only what is asked for. The file is opened once per
    process, also if a shard was pickled.

    Args:
        entry (dict): What the manifest says of the slice.
        source (Path or dict): The folder of the corpus, or the tensors.
        fingerprint (str, optional): The fingerprint of the vocabulary of its tokens.
            (default: :obj:`None`)
    """

    def __init__(
        self,
        entry: Mapping[str, Any],
        source: Path | Mapping[str, Tensor],
        fingerprint: str | None = None,
    ):
        self.entry = entry
        #: The file; :obj:`None` in memory.
        self.path = shard_path(source, entry["key"]) if isinstance(source, Path) else None
        self.fingerprint = fingerprint
        self._memory = None if self.path is not None else TensorsInMemory(source)
        self._file = None
        #: Where each subpatch begins and the last one ends, :math:`(P + 1)`.
        self.part_ptr = torch.tensor(entry["part_ptr"])

    @property
    def name(self) -> str:
        r"""The name of the slice, unique in its corpus."""
        return self.entry["name"]

    @property
    def file(self) -> str:
        r"""The file that the slice was in; empty where it was in none."""
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
    def has_tokens(self) -> bool:
        r"""Whether tokens were made of the counts."""
        return self.fingerprint is not None

    @property
    def cell_id(self) -> Tensor:
        r"""The row of each cell in its file :math:`(N)`, mapped from the shard."""
        return self.tensor("cell_id")

    @property
    def order(self) -> Tensor:
        r"""The place of each cell among those of the slice in the order of names :math:`(N)`."""
        return self.tensor("order")

    @property
    def pos(self) -> Tensor:
        r"""Positions of the cells :math:`(N, 2)`, in double precision, mapped from the file."""
        return self.tensor("pos")

    def tokens(self) -> CellTokens:
        r"""The tokens of all cells, mapped from the file: a cell's come into memory when used.

        Raises:
            ValueError: The corpus was made without tokens.
        """
        if not self.has_tokens:
            raise ValueError(
                f"'{self.name}' has no tokens: the corpus was made without a vocabulary. Run 'corpus "
                f"build' with '--vocab'."
            )
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
        if self._memory is not None:
            return self._memory
        if self._file is None:
            self._file = open_safetensors(self.path, FORMAT, VERSION, self.key)
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}('{self.name}', cells={self.num_cells}, parts={self.num_parts})"
        )


class TensorsInMemory(dict):
    r"""Tensors by name, read as an open safetensors file is."""

    def get_tensor(self, name: str) -> Tensor:
        r"""Returns a tensor."""
        return self[name]

    def get_slice(self, name: str) -> Tensor:
        r"""Returns a tensor, of which rows are taken."""
        return self[name]


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
    found = None if found is None else found.partition(DIGEST)[0]
    if found != wanted:
        raise ValueError(f"'{path}' holds {found!r}, expected {wanted!r}. {mend}")
    return file


def is_as_written(file) -> bool:
    r"""Whether the tensors of an open file are those that were written; reads all of it. What has no
    hash of them passes."""
    digest = file.metadata()[MARK].partition(DIGEST)[2]
    return not digest or tensors_digest({name: file.get_tensor(name) for name in file.keys()}) == digest
