r"""Pictures for a page."""

import base64
import io
from pathlib import Path

from PIL import Image

MAX_WIDTH, COLORS = 1100, 128
# Where a picture is too large, it gets few colours, and then a smaller width again and again.
FEW_COLORS, SHRINK, MIN_WIDTH = 32, 0.85, 200


def small_png(path: Path, max_kib: int = 400) -> bytes:
    r"""A picture as a PNG that is at most 1,100 pixels wide and of 128 colours; of fewer colours, and
    narrower, where it would be too large.

    Args:
        path (Path): The picture.
        max_kib (int, optional): The most KiB. (default: :obj:`400`)

    Raises:
        ValueError: It is no picture, or cannot be so small.
    """
    try:
        with Image.open(path) as picture:
            picture = picture.convert("RGB")
    except OSError as error:
        raise ValueError(f"'{path}' is no picture ({error}); run the benchmark again") from error
    width, colors = min(MAX_WIDTH, picture.width), COLORS
    while True:
        out = _png(picture, width, colors)
        if len(out) <= 1024 * max_kib:
            return out
        if colors == FEW_COLORS:
            width = round(SHRINK * width)
        colors = FEW_COLORS
        if width < MIN_WIDTH:
            raise ValueError(f"'{path}' cannot be made as small as {max_kib} KiB; allow more")


def _png(picture: Image.Image, width: int, colors: int) -> bytes:
    if width < picture.width:
        height = max(1, round(picture.height * width / picture.width))
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.quantize(colors, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        out, format="PNG", optimize=True
    )
    return out.getvalue()


def data_uri(path: Path) -> str:
    r"""A PNG as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
