import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from torch import Tensor

from stofm_pyg._files import checked, file_hash, sealed, write_atomically
from stofm_pyg.corpus.shard import is_as_written, open_safetensors
from stofm_pyg.corpus.shard_file import save_tensors
from stofm_pyg.models._part_file import PartFile

FORMAT, VERSION = "stofm_pyg.embedded_parts", 1
BEGUN, RESULT, REPORT, PARTS, GROUPS = "begun.json", "embedding.npy", "embedding.json", "parts", "groups"

logger = logging.getLogger(__name__)


class Group(NamedTuple):
    r"""Some subpatches of a slice, one after another, which are embedded together."""

    #: The number of the slice, and of the size of its subpatches.
    slice: int
    share: int
    #: The first subpatch, and the one after the last.
    start: int
    end: int
    #: The same of their cells, which are sorted by subpatch.
    first: int
    last: int


class PartFolder:
    r"""A folder in which a source is embedded in parts: what it was begun with, the subpatches, the
    embeddings of groups of them, and the result.

    Args:
        directory (Path): The folder.
        marks (dict): What the result depends on, by name, as plain values.
    """

    def __init__(self, directory: Path, marks: Mapping[str, Any]):
        self.directory = directory
        self.marks = json.loads(json.dumps(marks))
        text = json.dumps(self.marks, sort_keys=True)
        self.key = hashlib.sha256(text.encode()).hexdigest()[:32]

    def begin(self):
        r"""Notes what the folder is begun with.

        Raises:
            ValueError: It was begun with something else; the message says with what first.
        """
        path = self.directory / BEGUN
        if not path.exists():
            self._write_json(BEGUN, {"marks": self.marks})
            return
        known = self._read_json(BEGUN)
        if known is None:
            raise ValueError(f"'{path}' is damaged; name another folder, or remove this one")
        then = known["marks"]
        for name in {**self.marks, **then}:
            if then.get(name) != self.marks.get(name):
                raise ValueError(
                    f"'{self.directory}' was begun with something else ({name} {then.get(name)} -> "
                    f"{self.marks.get(name)}); go on with the same, or name another folder"
                )

    def parts(self, number: int, share: int) -> PartFile:
        r"""Returns the file of the subpatches of a slice, of one of their sizes."""
        path = self.directory / PARTS / f"{number:04d}-{share}.safetensors"
        return PartFile(path, f"{self.key}, slice {number}, size {share}")

    def groups(self, number: int, share: int, parts_per_group: int) -> list[Group]:
        r"""Returns how the subpatches of a file are grouped."""
        ptr = self.parts(number, share).tensor("part_ptr").tolist()
        ends = [*range(parts_per_group, len(ptr) - 1, parts_per_group), len(ptr) - 1]
        starts = [0, *ends[:-1]]
        return [
            Group(number, share, start, end, ptr[start], ptr[end])
            for start, end in zip(starts, ends, strict=True)
        ]

    def group_path(self, group: Group) -> Path:
        r"""Where the embeddings of a group lie."""
        name = f"{group.slice:04d}-{group.share}-{group.start:06d}.safetensors"
        return self.directory / GROUPS / name

    def write_group(self, group: Group, z: Tensor):
        r"""Writes the embeddings of the cells of a group :math:`(N, C)`."""
        path = self.group_path(group)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(path, {"z": z}, FORMAT, VERSION, self._key(group), with_digest=True)

    def read_group(self, group: Group) -> Tensor | None:
        r"""Returns what was written; :obj:`None` if nothing is there, or, with a warning, if it is
        damaged."""
        path = self.group_path(group)
        try:
            file = open_safetensors(path, FORMAT, VERSION, self._key(group))
            if is_as_written(file):
                return file.get_tensor("z").clone()
        except FileNotFoundError:
            return None
        except (ValueError, SafetensorError):
            pass
        logger.warning("'%s' is damaged, and made again", path)
        return None

    def result(self) -> np.ndarray | None:
        r"""Returns the embeddings of all cells, mapped from their file, if they are there and whole."""
        path, report = self.directory / RESULT, self._read_json(REPORT)
        if report is None or report.get("key") != self.key or not path.is_file():
            return None
        if file_hash(path) != report.get("sha256"):
            return None
        return np.load(path, mmap_mode="r")

    def write_result(self, shape: tuple[int, int], fill: Callable[[np.ndarray], object]) -> np.ndarray:
        r"""Writes the embeddings of all cells, as a whole or not at all, and returns them mapped.

        Args:
            shape (tuple): Their shape :math:`(N, C)`.
            fill (Callable): Fills an array of zeros, which lies on the disk.
        """
        path = self.directory / RESULT

        def write(part: Path):
            out = np.lib.format.open_memmap(part, "w+", np.float32, shape)
            fill(out)
            out.flush()

        write_atomically(path, write)
        self._write_json(REPORT, {"key": self.key, "sha256": file_hash(path)})
        return np.load(path, mmap_mode="r")

    def _key(self, group: Group) -> str:
        return f"{self.key}, {group._asdict()}"

    def _write_json(self, name: str, content: Mapping[str, Any]):
        text = json.dumps(sealed({"format": FORMAT, "version": VERSION, **content}), indent=1) + "\n"
        write_atomically(self.directory / name, lambda part: part.write_text(text, encoding="utf-8"))

    def _read_json(self, name: str) -> dict[str, Any] | None:
        try:
            content = json.loads((self.directory / name).read_text(encoding="utf-8"))
            content = checked(content)
        except (OSError, ValueError, AttributeError, RecursionError):
            return None
        return content if content.get("format") == FORMAT else None

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}('{self.directory}')"
