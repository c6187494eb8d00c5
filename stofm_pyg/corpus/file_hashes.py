import hashlib
import json
import time
from pathlib import Path

from stofm_pyg._files import write_atomically
from stofm_pyg.corpus.shard_file import file_hash

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
