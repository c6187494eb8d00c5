import hashlib
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from stofm_pyg._files import write_atomically
from stofm_pyg.corpus.corpus_settings import CorpusSettings
from stofm_pyg.corpus.failed_slices import Failure
from stofm_pyg.corpus.shard_file import VERSION, file_hash
from stofm_pyg.corpus.slice_reader import SliceReader
from stofm_pyg.data import GeneVocab
from stofm_pyg.data.genes.orthologues import Orthologues

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
        r"""Returns the SHA-256 of the content of a file."""
        path = path.resolve()
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
    """

    name: str
    file: Path
    slice: str
    key: str


def plan_slices(
    files: Sequence[Path],
    hashes: FileHashes,
    vocab: GeneVocab,
    settings: CorpusSettings,
    orthologues: Orthologues | None = None,
    workers: int = 1,
) -> tuple[list[PlannedSlice], list[Failure]]:
    r"""Returns the slices of files by name, and the files and slices that cannot be had.

    A slice is called as its file, with its own name behind a colon where the file has several. The order
    of the files does not matter, so that machines may name them in any.

    Args:
        files (sequence of Path): The h5ad files, each once.
        hashes (FileHashes): Hashes of their content.
        vocab (GeneVocab): The vocabulary.
        settings (CorpusSettings): How slices are converted.
        orthologues (Orthologues, optional): Mouse genes and their human genes. (default: :obj:`None`)
        workers (int, optional): The number of files that are read at a time. (default: :obj:`1`)
    """

    def look(file: Path) -> tuple[list[str], str] | Failure:
        try:
            return list(SliceReader(file, settings.slice_key).rows), hashes(file)
        except (OSError, ValueError) as error:
            return Failure(file, "", str(error))

    files = sorted(files)
    with ThreadPoolExecutor(workers) as pool:
        seen = list(pool.map(look, files))
    common = [VERSION, asdict(settings), vocab.fingerprint, orthologues_fingerprint(orthologues)]
    planned: dict[str, PlannedSlice] = {}
    failures = []
    for file, prefix, found in zip(files, file_names(files), seen, strict=True):
        if isinstance(found, Failure):
            failures.append(found)
            continue
        slices, digest = found
        for name in slices:
            text = json.dumps([digest, name, *common], sort_keys=True)
            key = hashlib.sha256(text.encode()).hexdigest()[:32]
            if key in planned:
                other = planned[key].file
                failures.append(Failure(file, name, f"it is in '{other}' already; name it once"))
                continue
            full = f"{prefix}:{name}" if len(slices) > 1 else prefix
            planned[key] = PlannedSlice(full, file, name, key)
    return sorted(planned.values(), key=lambda item: item.name), failures


def file_names(files: Sequence[Path]) -> list[str]:
    r"""Returns names of files: without suffix, with as many folders as it takes to tell them apart."""
    for depth in range(1, max((len(file.parts) for file in files), default=0) + 1):
        names = ["/".join(file.with_suffix("").parts[-depth:]) for file in files]
        if len(set(names)) == len(names):
            return names
    return [str(file) for file in files]


def orthologues_fingerprint(orthologues: Orthologues | None) -> str | None:
    r"""Returns a hash of a table of orthologues, :obj:`None` for no table."""
    if orthologues is None or len(orthologues) == 0:
        return None
    text = json.dumps([orthologues.human, orthologues.mouse_ids], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
