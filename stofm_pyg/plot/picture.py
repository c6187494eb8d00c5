r"""Pictures as files."""

import os
from pathlib import Path

from matplotlib.figure import Figure

from stofm_pyg._files import write_atomically

FORMATS = (".png", ".pdf", ".svg")
MAX_PIXELS = 30_000


def picture_path(path: str | os.PathLike | None) -> Path | None:
    r"""Checks that a picture can be written to a path, before it is drawn.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: The name has another ending.
    """
    if path is None:
        return None
    path = Path(path).expanduser()
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"'{path}' does not end in .png, .pdf or .svg; give it one of these")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder '{path.parent}' for the picture '{path.name}'; create it first"
        )
    return path


def save_picture(figure: Figure, path: Path | None, dpi: float = 150.0) -> Figure:
    r"""Writes a picture as a whole if there is a path, and returns it."""
    if path is None:
        return figure
    options = {
        "format": path.suffix[1:].lower(),
        "dpi": min(dpi, MAX_PIXELS / max(figure.get_size_inches())),
        "bbox_inches": "tight",
        "pad_inches": 0.1,
    }
    write_atomically(path, lambda part: figure.savefig(part, **options))
    return figure
