import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stofm_pyg._files import file_hash, write_atomically
from stofm_pyg.corpus.failed_slices import SLICE_ERRORS, Failure, reason_of
from stofm_pyg.corpus.shard_file import VERSION
from stofm_pyg.data import GeneVocab, SliceSettings
from stofm_pyg.data.genes.orthologues import Orthologues
from stofm_pyg.data.readers import source_files
from stofm_pyg.data.slices.files import file_names
from stofm_pyg.data.slices.reader import SliceReader

# A file that was changed so lately may change again without a new time of change.
SETTLED_SECONDS = 2.0


class FileHashes:
    r"""Hashes of the content of files, kept in a folder so that a large file is read for its hash once,
    however many slices it has and processes ask. A file of another size or time of change is read
    again.

    Args:
        directory (Path): The folder.
    """

    def __init__(self, directory: Path):
        self.directory = directory

    def __call__(self, path: Path) -> str:
        r"""Returns the SHA-256 of the content of a file, or of what is read of a folder."""
        path = path.resolve()
        if path.is_dir():  # Of these, hashes are not kept: a store has thousands of files.
            parts = [[os.path.relpath(file, path), file_hash(file)] for file in source_files(path)]
            return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        stat = path.stat()
        state = {"path": str(path), "size": stat.st_size, "changed": stat.st_mtime_ns}
        name = hashlib.sha256(str(path).encode()).hexdigest()[:32]
        kept = self.directory / f"{name}.json"
        try:
            content = json.loads(kept.read_text(encoding="utf-8"))
            digest = content.pop("sha256")
            if content == state and isinstance(digest, str):
                return digest
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass  # There is none yet, or it is damaged: it is made again.
        settled = stat.st_mtime < time.time() - SETTLED_SECONDS
        digest = file_hash(path)
        if settled:
            text = json.dumps(state | {"sha256": digest})
            self.directory.mkdir(parents=True, exist_ok=True)
            write_atomically(kept, lambda part: part.write_text(text, encoding="utf-8"))
        return digest

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}('{self.directory}')"


@dataclass(frozen=True)
class PlannedSlice:
    r"""A slice of a corpus.

    Args:
        name (str): Its name, unique in the corpus.
        file (Path): The file that it is in.
        slice (str): Its name in the file, :obj:`""` where the file is one slice.
        key (str): A hash of all that its shard depends on.
        stamp (str, optional): What :meth:`file_stamp` said of the file before it was read for the key.
            (default: :obj:`""`)
    """

    name: str
    file: Path
    slice: str
    key: str
    stamp: str = ""


def file_stamp(path: Path) -> str:
    r"""Returns size and time of change of a file, or of what is read of a folder: where they are still
    the same, so is its content."""
    files = source_files(path) if path.is_dir() else [path]
    stats = [(os.path.relpath(file, path), file.stat()) for file in files]
    return " ".join(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)


def check_share(share: tuple[int, int]) -> tuple[int, int]:
    r"""Returns which share of how many it is.

    Raises:
        ValueError: There is no such share.
    """
    number, of = share
    if not 0 <= number < of:
        raise ValueError(f"'share' must be (k, n) with 0 <= k < n (got {share}): k counts from 0")
    return number, of


def plan_slices(
    files: Sequence[Path],
    hashes: FileHashes,
    settings: SliceSettings,
    vocab: GeneVocab | None = None,
    orthologues: Orthologues | None = None,
    workers: int = 1,
) -> tuple[list[PlannedSlice], list[Failure]]:
    r"""Returns the slices of files by name, and the files and slices that cannot be had.

    A slice is called as its file, with its own name behind a colon where the file has several. The order
    of the files does not matter, so that machines may name them in any.

    Args:
        files (sequence of Path): The files or folders, each once.
        hashes (FileHashes): Hashes of their content.
        settings (SliceSettings): How slices are converted.
        vocab (GeneVocab, optional): The vocabulary of the tokens. (default: :obj:`None`)
        orthologues (Orthologues, optional): Mouse genes and their human genes. (default: :obj:`None`)
        workers (int, optional): The number of files that are read at a time. (default: :obj:`1`)
    """

    def look(file: Path) -> tuple[list[str], str, str] | Failure:
        try:
            stamp = file_stamp(file)
            return list(SliceReader(file, settings).rows), hashes(file), stamp
        except SLICE_ERRORS as error:
            return Failure(file, "", reason_of(error))

    files = sorted(files)
    with ThreadPoolExecutor(workers) as pool:
        seen = list(pool.map(look, files))
    common = shard_marks(settings, vocab, orthologues)
    planned: dict[str, PlannedSlice] = {}
    failures = []
    for file, prefix, found in zip(files, file_names(files), seen, strict=True):
        if isinstance(found, Failure):
            failures.append(found)
            continue
        slices, digest, stamp = found
        for name in slices:
            key = shard_key(digest, name, common)
            if key in planned:
                other = planned[key].file
                failures.append(Failure(file, name, f"it is in '{other}' already; name it once"))
                continue
            full = f"{prefix}:{name}" if len(slices) > 1 else prefix
            planned[key] = PlannedSlice(full, file, name, key, stamp)
    return sorted(planned.values(), key=lambda item: item.name), failures


def shard_marks(
    settings: SliceSettings, vocab: GeneVocab | None, orthologues: Orthologues | None
) -> list[Any]:
    r"""Returns what all shards of a corpus depend on, beside their files."""
    values = settings.to_dict()
    for name in ("num_features", "virtual_cells", "max_clusters", "alpha", "orthologues"):
        del values[name]  # What features depend on, and a path, of which the content counts.
    if vocab is None:
        return [VERSION, values]
    table = None if orthologues is None or len(orthologues) == 0 else orthologues.fingerprint()
    return [VERSION, values, vocab.fingerprint, table]


def shard_key(digest: str, name: str, marks: list[Any]) -> str:
    r"""Returns the key of a shard: a hash of the content of its file, its name there, and the marks."""
    text = json.dumps([digest, name, *marks], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
