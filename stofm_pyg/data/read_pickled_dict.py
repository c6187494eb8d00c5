import os
import pickle
from pathlib import Path

from stofm_pyg.data.restricted_unpickler import RefusedPickle, RestrictedUnpickler

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
)


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
            raise ValueError(
                f"'{path}' holds {key!r}: {value!r}, expected strings and values of type "
                f"{values.__name__}. Was it mistaken for another of the tables?"
            )
    return {key: values(value) for key, value in content.items()}
