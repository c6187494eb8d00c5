"""The errors that the page on troubleshooting explains are those of the code, word for word."""

import ast
import re

import pytest

from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
MESSAGES = [
    " ".join(found.split())
    for found in re.findall(r"^> (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
]
HOLE = "…"


def texts():
    """All strings of the code, with a hole in the place of each value."""
    out = []
    for room in ("stofm_pyg", "tools"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    out.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    parts = [getattr(part, "value", HOLE) for part in node.values]
                    out.append("".join(part if isinstance(part, str) else HOLE for part in parts))
    return "\n".join(" ".join(text.split()) for text in out)


@pytest.fixture(scope="module")
def code():
    return texts()


@pytest.mark.parametrize("message", MESSAGES)
def test_the_code_says_so(message, code):
    assert message in code


def test_there_are_many():
    assert len(MESSAGES) == len(set(MESSAGES)) > 25


def test_another_message_is_not_taken(code):
    assert "The slice … is much too beautiful" not in code
