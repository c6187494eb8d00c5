import difflib
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch


def find_outside(name: str) -> Any:
    r"""An operator that is neither in PyG nor here: a class, or a factory that is called with
    :obj:`(channels, edge_channels)`.

    The same file gives the same class however often it is asked for, as a module does, until it changes.

    Args:
        name (str): :obj:`"module:Class"` or :obj:`"path/to/file.py:Class"`.

    Raises:
        ValueError: There is no such module, file or class, the file cannot be run, or it is no operator.
    """
    where, _, wanted = name.rpartition(":")
    if not where or not wanted.isidentifier():
        raise ValueError(f"'{name}' names no operator; write 'module:Class' or 'path/to/file.py:Class'")
    module = _run_file(where, name) if where.endswith(".py") else _import(where, name)
    found = getattr(module, wanted, None)
    if inspect.isclass(found) and issubclass(found, torch.nn.Module):
        return found
    if found is not None and callable(found) and not inspect.isclass(found):
        return found
    if found is not None:
        raise ValueError(f"'{name}' is no torch.nn.Module and no function that makes one, but {found!r}")
    known = [
        key
        for key, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__
    ]
    near = difflib.get_close_matches(wanted, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(known) or 'no class'}"
    raise ValueError(f"There is no '{wanted}' in '{where}'; {hint}")


def _import(where: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"The module '{error.name}' of '{name}' is not there; install it or put its folder on "
            f"PYTHONPATH, or name a file, as in 'path/to/file.py:Class'"
        ) from error
    except Exception as error:
        raise ValueError(f"The module of '{name}' cannot be imported: {_told(error)}") from error


def _run_file(where: str, name: str) -> ModuleType:
    path = Path(where).expanduser().resolve()
    if not path.is_file():
        raise ValueError(f"There is no file '{where}' of '{name}' (looked from '{os.getcwd()}')")
    text = path.read_bytes()
    digest = hashlib.sha256(str(path).encode() + b"\n" + text).hexdigest()[:16]
    known = f"stofm_pyg_conv_{path.stem}_{digest}"
    if known in sys.modules:
        return sys.modules[known]
    spec = importlib.util.spec_from_file_location(known, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[known] = module  # Before it runs, as dataclasses and the like need it.
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[known]
        raise ValueError(f"'{where}' cannot be run: {_told(error)}") from error
    return module


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
