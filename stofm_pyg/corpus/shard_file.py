import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from stofm_pyg._files import checked, file_hash, sealed, write_atomically

FORMAT, VERSION = "stofm_pyg.corpus.shard", 2
MARK = "content"
DIGEST = "; sha256 "
FOLDER = "shards"


def shard_path(directory: Path, key: str) -> Path:
    r"""Where the shard of a key lies in a corpus; its report lies beside it, as JSON."""
    return directory / FOLDER / f"{key}.safetensors"


def write_shard(directory: Path, key: str, tensors: dict[str, Tensor], report: dict[str, Any]):
    r"""Writes a shard, then its report: where there is a report, the shard is whole.

    Args:
        directory (Path): The corpus.
        key (str): The key of the shard.
        tensors (dict[str, torch.Tensor]): What the shard holds.
        report (dict): What is known of the slice; size and checksum of the shard are added.
    """
    path = shard_path(directory, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{key}.*.tmp"):  # By a process that was killed.
        left.unlink(missing_ok=True)
    save_tensors(path, tensors, FORMAT, VERSION, key)
    common = {"format": FORMAT, "version": VERSION, "key": key}
    report = sealed(common | report | {"bytes": path.stat().st_size, "sha256": file_hash(path)})
    text = json.dumps(report) + "\n"
    write_atomically(path.with_suffix(".json"), lambda part: part.write_text(text, encoding="utf-8"))


def save_tensors(
    path: Path,
    tensors: dict[str, Tensor],
    form: str,
    version: int,
    key: str,
    with_digest: bool = False,
):
    r"""Writes a safetensors file of a corpus, as a whole or not at all; the same content is the same
    file. Where no report has its hash, one of the tensors goes along."""
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    # One entry: safetensors writes several in any order.
    digest = f"{DIGEST}{tensors_digest(tensors)}" if with_digest else ""
    metadata = {MARK: f"{mark(form, version, key)}{digest}"}
    write_atomically(path, lambda part: save_file(tensors, part, metadata))


def mark(form: str, version: int, key: str) -> str:
    r"""What the header of a file of a corpus says that it is."""
    return f"{form} version {version} of {key}"


def tensors_digest(tensors: dict[str, Tensor]) -> str:
    r"""Returns the SHA-256 of tensors with their names, types and shapes."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def read_report(directory: Path, key: str) -> dict[str, Any] | None:
    r"""Returns the report of a shard that is there with the size it was written with, else
    :obj:`None`."""
    path = shard_path(directory, key)
    try:
        report = checked(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
        size = path.stat().st_size
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    found = (report.get("format"), report.get("version"), report.get("key"), report.get("bytes"))
    return report if found == (FORMAT, VERSION, key, size) else None


def is_intact(directory: Path, key: str) -> bool:
    r"""Whether a shard is there and holds what was written. Reads all of it."""
    report = read_report(directory, key)
    return report is not None and file_hash(shard_path(directory, key)) == report.get("sha256")
