import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
from safetensors import SafetensorError, safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

UNLIKE = ("cells_per_second", "loading_share", "memory_mib")  # The clock's and the machine's.
# Also what is a checksum of these.
CLOCK = ("seconds", "train_seconds", "peak_mib", "ms_per_step", "checksum")
# "files" are hashes of files that have not changed for some seconds.
WORKING = ("checkpoints", "tensorboard", "files")
# A table of what is in the JSON beside it, with seconds.
TABLE = "results.md"


def content(out: Path) -> dict[str, object]:
    r"""The points of each curve of a folder, and a hash of each of its other files, but for checkpoints
    and what a killed process leaves; JSON without what the clock says."""
    found: dict[str, object] = {}
    for folder in (out / "tensorboard").glob("*"):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
        for tag in events.Tags()["scalars"]:
            if not tag.endswith(UNLIKE):  # Written out, as nothing equals NaN, and zero its negative.
                found[f"{folder.name}/{tag}"] = [(e.step, repr(e.value)) for e in events.Scalars(tag)]
    for path in (path for path in out.rglob("*") if path.is_file()):
        name = path.relative_to(out)
        if name.parts[0] not in WORKING and name.name != TABLE and not is_left(path):
            found[str(name)] = hashlib.sha256(_bytes(path)).hexdigest()
    return found


def is_left(path: Path) -> bool:
    r"""Whether a file is one that a killed process was writing."""
    return path.suffix == ".tmp" or any(part.startswith(".saving-") for part in path.parts)


def broken(out: Path) -> list[str]:
    r"""The files of a folder that bear their own name and cannot be read to their end."""
    wrong = []
    for path in sorted(path for path in out.rglob("*") if path.is_file() and not is_left(path)):
        try:
            _read(path)
        except (ValueError, OSError, KeyError, SafetensorError, zipfile.BadZipFile) as error:
            wrong.append(f"{path.relative_to(out)}: {error}")
    return wrong


def _read(path: Path):
    if path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            for name in file.keys():
                file.get_tensor(name)
    elif path.suffix == ".pt":
        with zipfile.ZipFile(path) as file:
            if file.testzip() is not None:
                raise ValueError("a checksum in it is wrong")
    elif path.suffix == ".h5ad":
        with h5py.File(path) as file:
            file.visititems(lambda _, item: item[()] if isinstance(item, h5py.Dataset) else None)


def _bytes(path: Path) -> bytes:
    raw = path.read_bytes()
    if path.suffix != ".json":
        return raw
    return json.dumps(_without_clock(json.loads(raw)), sort_keys=True).encode()


def _without_clock(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_clock(item) for key, item in value.items() if key not in CLOCK}
    if isinstance(value, list):
        return [_without_clock(item) for item in value]
    return value
