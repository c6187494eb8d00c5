import gzip
import json
import os
import zlib
from pathlib import Path
from typing import Any

from stofm_pyg._files import unzip, write_atomically

FORMAT, VERSION = "stofm_pyg.GeneVocab", 1


def write_vocab(path: str | os.PathLike, content: dict[str, Any]):
    r"""Writes a vocabulary as JSON with the name and version of the format; a name that ends in
    :obj:`.gz` is compressed. The file is there as a whole or not at all."""
    path = Path(path).expanduser()
    text = json.dumps({"format": FORMAT, "version": VERSION, **content}, allow_nan=False)
    raw = text.encode()
    if path.suffix == ".gz":
        raw = gzip.compress(raw, mtime=0)  # The same vocabulary is the same file.
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda part: part.write_bytes(raw))


def read_vocab(path: str | os.PathLike) -> dict[str, Any]:
    r"""Reads what :meth:`write_vocab` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, no vocabulary, or of another version.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no file '{path}' (looked from '{Path.cwd()}'). 'GeneVocab.save' writes one; "
            f"a folder of Geneformer is read by 'GeneVocab.from_geneformer'."
        )
    try:
        content = json.loads(unzip(path))
    except (ValueError, OSError, EOFError, RecursionError, zlib.error) as error:
        raise damaged(path, f"{error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f'\'{path}\' is no vocabulary: it lacks the mark "format": "{FORMAT}".')
    if content.get("version") != VERSION:
        raise ValueError(
            f"'{path}' is a vocabulary of version {content.get('version')!r}, this release reads "
            f"version {VERSION}. Update stofm_pyg, or make the vocabulary again."
        )
    return content


def damaged(path: str | os.PathLike, why: str) -> ValueError:
    r"""Returns the error for a vocabulary that cannot be used."""
    return ValueError(
        f"'{path}' ({os.path.getsize(path):,} bytes) is truncated or damaged ({why}). Copy it again "
        f"or make it again with 'GeneVocab.save'."
    )
