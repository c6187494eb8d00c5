import os
import pickle
import re
import struct
from pathlib import Path

import numpy as np

from stofm_pyg.data.errors import shown

NUMPY_SCALARS = {("numpy._core.multiarray", "scalar"), ("numpy.core.multiarray", "scalar")}
NUMBER = re.compile(r"[iu][1248]|f[248]")
# What a damaged file makes the unpickler stumble over.
DAMAGE = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    ImportError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    TypeError,
    ValueError,
    AssertionError,
    RecursionError,
    struct.error,
)


class RefusedPickle(pickle.UnpicklingError):
    r"""A pickled file asks for more than plain data."""


class RestrictedUnpickler(pickle._Unpickler):
    r"""An unpickler that imports nothing: a file holds built-in containers, strings, numbers and
    NumPy scalars (which become Python numbers), or it is refused. It is the one that is written in
    Python: that in C makes room for as many notes as a file says, which may be billions.

    Even for NumPy scalars no function of NumPy is handed to the file, only stand-ins that read
    integers and floats.

    Raises:
        RefusedPickle: The file asks for anything else; names what it tried to import.
    """

    def find_class(self, module: str, name: str) -> object:
        if (module, name) in NUMPY_SCALARS:
            return _ReadScalar()
        if (module, name) == ("numpy", "dtype"):
            return _MakeNumberType()
        raise RefusedPickle(f"it tries to import '{module}.{name}'")


class _NumberType:
    __slots__ = ("code", "order")

    def __init__(self, code: str):
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple):
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "=", "|"):
            raise RefusedPickle(f"it holds a number of an unknown type ({state!r})")
        self.order = state[1]


class _MakeNumberType:
    # No `__dict__`: a file could otherwise leave attributes behind on what it is given.
    __slots__ = ()

    def __call__(self, code: object, align: object = False, copy: object = True) -> _NumberType:
        if not isinstance(code, str) or NUMBER.fullmatch(code) is None:
            raise RefusedPickle(f"it holds a NumPy array or scalar of type {code!r}")
        return _NumberType(code)


class _ReadScalar:
    __slots__ = ()

    def __call__(self, kind: object, raw: object) -> int | float:
        if not isinstance(kind, _NumberType) or not isinstance(raw, bytes):
            raise RefusedPickle("it holds a NumPy scalar that is no number")
        if len(raw) != int(kind.code[1]):
            raise RefusedPickle("it holds a NumPy scalar of a wrong size")
        return np.frombuffer(raw, dtype=kind.order + kind.code)[0].item()


def read_pickled_dict(path: str | os.PathLike, values: type) -> dict:
    r"""Returns a pickled dictionary of strings to :obj:`str`, :obj:`int` or :obj:`float`, read by
    :class:`RestrictedUnpickler`: a file that imports anything is refused and nothing is executed.

    Args:
        path (str or PathLike): The file.
        values (type): The type of the values, :obj:`str`, :obj:`int` or :obj:`float`; integers pass
            for :obj:`float`, and all numbers become Python numbers.

    Raises:
        ValueError: The file tries to import something, is damaged, or holds anything else.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = RestrictedUnpickler(file).load()
    except RefusedPickle as error:
        raise ValueError(
            f"'{path}' is refused: {error}. A table of genes is a plain dictionary of strings and "
            f"numbers. Take the file from its original source, and do not open this one by other "
            f"means."
        ) from error
    except DAMAGE as error:
        raise ValueError(
            f"'{path}' ({os.path.getsize(path):,} bytes) cannot be read: it is truncated, damaged "
            f"or no pickle ({error}). Download or copy it again."
        ) from error

    if not isinstance(content, dict):
        raise ValueError(f"'{path}' holds a {type(content).__name__}, expected a dictionary.")
    accepted = (int, float) if values is float else values
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, accepted) or isinstance(value, bool):
            held = f"{shown(key)}: {shown(value)}"
            raise ValueError(
                f"'{path}' holds {held}, expected strings and values of "
                f"type {values.__name__}. Was it mistaken for another of the tables?"
            )
    return {key: values(value) for key, value in content.items()}
