import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BYTES_PER_READ = 2**22
CHECKSUM = "checksum"


def file_hash(path: Path) -> str:
    r"""Returns the SHA-256 of the content of a file, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BYTES_PER_READ):
            digest.update(block)
    return digest.hexdigest()


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    r"""Returns values that are JSON with a checksum of all of them, see :meth:`checked`."""
    content = {name: value for name, value in content.items() if name != CHECKSUM}
    return {**content, CHECKSUM: _checksum(content)}


def checked(content: Mapping[str, Any]) -> dict[str, Any]:
    r"""Returns values of a JSON file without their checksum; those of a file that has none pass.

    Raises:
        ValueError: They are not those that were written.
    """
    rest = {name: value for name, value in content.items() if name != CHECKSUM}
    if CHECKSUM in content and content[CHECKSUM] != _checksum(rest):
        raise ValueError("its content is not what was written")
    return rest


def _checksum(content: Mapping[str, Any]) -> str:
    # Through JSON, as what is read is compared with what was written.
    text = json.dumps(json.loads(json.dumps(content)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
