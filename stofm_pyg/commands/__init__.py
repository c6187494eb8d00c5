r"""The commands of the command line, one file each: a docstring that says what it does, of which the
first paragraph is the summary, ``EXAMPLE``, ``add_arguments(parser)``, and ``run(args)``, which returns
the exit status."""

import ast
import importlib
import pkgutil
from types import ModuleType

#: The names of the commands, which are those of their modules.
COMMANDS = (
    "inspect",
    "convert",
    "fit",
    "embed",
    "domains",
    "finetune",
    "predict",
    "plot",
    "adapt",
    "corpus",
    "pretrain",
)


def summary(name: str) -> str:
    r"""Returns the summary of a command. Its module is read and not imported, which takes seconds."""
    source = pkgutil.get_data(__name__, f"{name}.py")
    return ast.get_docstring(ast.parse(source)).split("\n\n")[0]


def find_command(name: str) -> ModuleType:
    r"""Imports the module of a command, and returns it."""
    return importlib.import_module(f"{__name__}.{name}")
