"""Runs the examples in this process: the printed numbers come back from their `main`."""

import importlib
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
#: Three small generated slices.
TINY = ["--cells", "150"]


def run_example(name, *argv):
    """What `python examples/NAME.py ARGV` prints, as numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        for module in ("common", name):  # Not another module of this name, imported before.
            patch.delitem(sys.modules, module, raising=False)
        try:
            return importlib.import_module(name).main([*TINY, *argv])
        finally:
            for module in ("common", name):
                sys.modules.pop(module, None)
