import importlib
from types import ModuleType


def imported(module: str, purpose: str) -> ModuleType:
    r"""Imports a package that not everybody needs.

    Args:
        module (str): Its name.
        purpose (str): What it is needed for, as :obj:`"Parquet files"`.

    Raises:
        ImportError: It is not installed; the message says how to get it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{purpose} need the package '{module}', which cannot be imported ({error}): "
            f'pip install "stofm-pyg[readers]"'
        ) from error
