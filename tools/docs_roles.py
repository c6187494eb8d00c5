r"""Docstrings as PyG writes them, with roles of reStructuredText, on the site of `make docs`: an
extension of griffe, see `mkdocs.yml`."""

import sys
from pathlib import Path

from griffe import Extension

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.docs_markdown import as_markdown, documented  # noqa: E402


class Roles(Extension):
    r"""Converts all docstrings of a package once it is loaded."""

    def on_package(self, *, pkg, loader, **kwargs):
        self._convert(pkg, documented())

    def _convert(self, obj, known: dict[str, str]):
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value, known)
        for member in obj.members.values():
            if not member.is_alias:
                self._convert(member, known)
