r"""Pictures for a page."""

import base64
import io
from pathlib import Path

from PIL import Image

MAX_WIDTH, COLORS = 1100, 128


def small_png(path: Path) -> bytes:
    r"""A picture as a PNG that is at most 1,100 pixels wide and of 128 colours.

    Raises:
        ValueError: It is no picture.
    """
    try:
        with Image.open(path) as picture:
            picture = picture.convert("RGB")
    except OSError as error:
        raise ValueError(f"'{path}' is no picture ({error}); run the benchmark again") from error
    if picture.width > MAX_WIDTH:
        height = max(1, round(picture.height * MAX_WIDTH / picture.width))
        picture = picture.resize((MAX_WIDTH, height), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.quantize(COLORS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        out, format="PNG", optimize=True
    )
    return out.getvalue()


def data_uri(path: Path) -> str:
    r"""A PNG as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
