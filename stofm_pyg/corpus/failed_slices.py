from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError

# What a slice may fail by without loss to the others.
SLICE_ERRORS = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
)


class Failure(NamedTuple):
    r"""A slice that could not be converted; its name is empty if its file could not be read at all."""

    file: Path
    slice: str
    reason: str

    def __str__(self) -> str:
        where = f"'{self.file}'" + (f", slice {self.slice!r}" if self.slice else "")
        return f"{where}: {' '.join(self.reason.split())}"


class FailedSlices(ValueError):
    r"""Raised by :meth:`build_corpus` at its end where slices could not be converted; the others are
    in the corpus.

    Args:
        failures (list[Failure]): What failed, and why.
        directory (Path): The corpus.
    """

    def __init__(self, failures: list[Failure], directory: Path):
        self.failures = failures
        self.directory = directory
        told = "; ".join(map(str, failures))
        number = "One slice" if len(failures) == 1 else f"{len(failures):,} slices"
        super().__init__(
            f"{number} failed; what could be made is in '{directory}'. Mend or leave out what failed "
            f"and run it again, which makes only what is missing. {told}"
        )


def reason_of(error: Exception) -> str:
    r"""Returns why a slice failed; errors that others raise are named by their kind."""
    return str(error) if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: {error}"
