import pickle
import re

import numpy as np

NUMPY_SCALARS = {("numpy._core.multiarray", "scalar"), ("numpy.core.multiarray", "scalar")}
NUMBER = re.compile(r"[iu][1248]|f[248]")


class RefusedPickle(pickle.UnpicklingError):
    r"""A pickled file asks for more than plain data."""


class RestrictedUnpickler(pickle.Unpickler):
    r"""An unpickler that imports nothing: a file holds built-in containers, strings, numbers and
    NumPy scalars (which become Python numbers), or it is refused.

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
