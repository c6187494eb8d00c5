import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from stofm_pyg._files import write_atomically

FORMAT = "stofm_pyg.CellTokens"
VERSION = "1"


class CellTokens:
    r"""The tokens of many cells, one after another without padding: cell :math:`i` has
    :obj:`tokens[ptr[i]:ptr[i + 1]]`.

    Tokens are a PyTorch tensor, as embedding layers and :class:`~torch.utils.data.DataLoader` workers
    take them without a copy, and int32, which embedding layers read as well as int64 at half the size.
    :obj:`ptr` is named and made as in PyG's :class:`~torch_geometric.data.Batch`.

    Args:
        tokens (torch.Tensor): The tokens of all cells :math:`(T)`; kept as int32.
        ptr (torch.Tensor): Where each cell begins and the last one ends :math:`(N + 1)`; kept as int64.
        fingerprint (str, optional): The fingerprint of the vocabulary that the tokens are numbers of.
            (default: :obj:`None`)

    Raises:
        TypeError: Tokens or pointers are no integers.
        ValueError: A number does not fit, or :obj:`ptr` does not rise from zero to the number of tokens.

    Example:
        >>> cells = CellTokens(torch.tensor([7, 3, 9, 7]), torch.tensor([0, 3, 4]))
        >>> cells[0], cells[[1, 0, 1]]
        (tensor([7, 3, 9], dtype=torch.int32), CellTokens(num_cells=3, num_tokens=5))
    """

    def __init__(self, tokens: Tensor, ptr: Tensor, fingerprint: str | None = None):
        self.tokens = _integers(tokens, "tokens", torch.int32)
        self.ptr = _integers(ptr, "ptr", torch.int64)
        self.fingerprint = fingerprint
        rises = self.ptr.numel() > 0 and bool((self.ptr.diff() >= 0).all())
        if not rises or self.ptr[0] != 0 or self.ptr[-1] != self.tokens.numel():
            raise ValueError(
                f"'ptr' must rise from 0 to the number of tokens ({self.tokens.numel()}), got "
                f"{_shown(self.ptr)}. For cells of known lengths it is [0, *lengths.cumsum(0)]."
            )

    @property
    def num_cells(self) -> int:
        r"""The number of cells."""
        return self.ptr.numel() - 1

    @property
    def lengths(self) -> Tensor:
        r"""The number of tokens of each cell :math:`(N)`, int64."""
        return self.ptr.diff()

    def __len__(self) -> int:
        return self.num_cells

    def __getitem__(self, index: int | slice | Sequence[int] | np.ndarray | Tensor):
        r"""Returns the tokens of one cell for an integer (a view), else a :class:`CellTokens` of the
        cells that a slice, an array of integers or a mask names, in its order.

        Raises:
            IndexError: There is no such cell.
            TypeError: It is none of these.
        """
        if isinstance(index, (int, np.integer)) and not isinstance(index, (bool, np.bool_)):
            if not -self.num_cells <= index < self.num_cells:
                raise IndexError(f"There is no cell {index}: there are {self.num_cells} cells.")
            start, stop = self.ptr[index % self.num_cells :][:2].tolist()
            return self.tokens[start:stop]
        if isinstance(index, slice):
            start, stop, step = index.indices(self.num_cells)
            if step == 1:
                ptr = self.ptr[start : max(start, stop) + 1]
                tokens = self.tokens[int(ptr[0]) : int(ptr[-1])]
                return CellTokens(tokens, ptr - ptr[0], self.fingerprint)
            index = torch.arange(self.num_cells)[range(start, stop, step)]
        cells = self._cells(index)
        return self._take(self.ptr[cells], self.lengths[cells])

    def truncate(self, max_length: int) -> "CellTokens":
        r"""Returns the first :obj:`max_length` tokens of each cell; itself where no cell has more.

        Raises:
            ValueError: :obj:`max_length` is not positive.
        """
        if max_length < 1:
            raise ValueError(f"'max_length' must be at least 1, got {max_length}.")
        lengths = self.lengths
        if not bool((lengths > max_length).any()):
            return self
        return self._take(self.ptr[:-1], lengths.clamp(max=max_length))

    @staticmethod
    def concat(parts: Sequence["CellTokens"]) -> "CellTokens":
        r"""Returns the cells of several :class:`CellTokens` of one vocabulary, in their order.

        Raises:
            ValueError: There is none, or they are of different vocabularies.
        """
        if len(parts) == 0:
            raise ValueError("Nothing to join: pass at least one CellTokens.")
        known = sorted({part.fingerprint for part in parts if part.fingerprint is not None})
        if len(known) > 1:
            raise ValueError(
                f"Tokens of different vocabularies ({', '.join(known)}) do not go together: make all of "
                f"them with one 'RankValueTokenizer'."
            )
        lengths = torch.cat([part.lengths for part in parts])
        tokens = torch.cat([part.tokens for part in parts])
        return CellTokens(tokens, _pointers(lengths), known[0] if known else None)

    def save(self, path: str | os.PathLike):
        r"""Writes a safetensors file, as a whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"format": FORMAT, "version": VERSION, "sha256": self._digest()}
        if self.fingerprint is not None:
            metadata["fingerprint"] = self.fingerprint
        tensors = {"tokens": self.tokens.contiguous(), "ptr": self.ptr.contiguous()}
        write_atomically(path, lambda part: save_file(tensors, part, metadata))

    @staticmethod
    def load(path: str | os.PathLike) -> "CellTokens":
        r"""Reads what :meth:`save` wrote. The file is read once for its checksum; tokens are mapped from
        it: those of a cell come into memory when they are used.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is truncated, damaged, no file of tokens, or of a later version.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"There is no file '{path}'. Check the path.")
        again = "Make it again with 'RankValueTokenizer' and 'CellTokens.save'."
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except SafetensorError as error:
            raise ValueError(
                f"'{path}' ({path.stat().st_size:,} bytes) cannot be read: it is truncated or damaged "
                f"({error}). {again}"
            ) from error
        if metadata.get("format") != FORMAT or set(tensors) != {"tokens", "ptr"}:
            raise ValueError(f"'{path}' holds {sorted(tensors)} and no tokens of cells. {again}")
        if metadata.get("version") != VERSION:
            raise ValueError(
                f"'{path}' has version {metadata.get('version')!r} of the format, this release of "
                f"stofm_pyg reads version {VERSION!r}. {again}"
            )
        try:
            out = CellTokens(tensors["tokens"], tensors["ptr"], metadata.get("fingerprint"))
        except (ValueError, TypeError) as error:
            raise ValueError(f"'{path}' is damaged: {error} {again}") from error
        if metadata.get("sha256") not in (None, out._digest()):
            raise ValueError(f"'{path}' is damaged: its content is not what was written. {again}")
        return out

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(num_cells={self.num_cells}, num_tokens={self.tokens.numel()})"

    def _digest(self) -> str:
        digest = hashlib.sha256(f"{self.fingerprint} {self.num_cells}".encode())
        for values in (self.ptr, self.tokens):
            digest.update(values.contiguous().numpy())
        return digest.hexdigest()

    def _cells(self, index: Sequence[int] | np.ndarray | Tensor) -> Tensor:
        index = torch.as_tensor(index)
        if index.numel() == 0 and index.dtype != torch.bool:
            index = index.long()  # An empty list has no type.
        if index.dim() != 1 or index.is_floating_point():
            raise TypeError(
                f"Cells are chosen by an integer, a slice, or a one-dimensional array of integers or "
                f"booleans, got {index.dtype} of shape {list(index.shape)}."
            )
        if index.dtype == torch.bool:
            if index.numel() != self.num_cells:
                raise IndexError(f"A mask of {index.numel()} for {self.num_cells} cells.")
            return index.nonzero().view(-1)
        index = index.long()
        wrong = (index < -self.num_cells) | (index >= self.num_cells)
        if bool(wrong.any()):
            first = int(index[wrong][0])
            raise IndexError(f"There is no cell {first}: there are {self.num_cells} cells.")
        return torch.where(index < 0, index + self.num_cells, index)

    def _take(self, starts: Tensor, lengths: Tensor) -> "CellTokens":
        ptr = _pointers(lengths)
        positions = torch.repeat_interleave(starts - ptr[:-1], lengths)
        positions += torch.arange(positions.numel())
        return CellTokens(self.tokens[positions], ptr, self.fingerprint)


def _integers(values: Tensor, name: str, dtype: torch.dtype) -> Tensor:
    values = torch.as_tensor(values)
    if values.dim() != 1 or values.is_floating_point() or values.dtype == torch.bool:
        raise TypeError(
            f"'{name}' must be a one-dimensional tensor of integers, got {values.dtype} of shape "
            f"{list(values.shape)}."
        )
    if values.dtype == dtype:
        return values
    out = values.to(dtype)
    if not torch.equal(out.to(values.dtype), values):
        raise ValueError(f"'{name}' holds values that do not fit into {dtype}: {_shown(values)}.")
    return out


def _pointers(lengths: Tensor) -> Tensor:
    return torch.nn.functional.pad(lengths.cumsum(0), (1, 0))


def _shown(values: Tensor) -> str:
    if values.numel() <= 8:
        return str(values.tolist())
    return f"[{', '.join(map(str, values[:4].tolist()))}, ..., {int(values[-1])}]"
