"""The pages of the documentation, and the code, lines and links in them."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
        *(ROOT / "examples").rglob("README.md"),
        *(ROOT / "docs").rglob("*.md"),
    ]
)
FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+?) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
#: What stands before a command, or between two.
ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


class Block(NamedTuple):
    """A block of code: its first line, its language, and why it is not run, if so."""

    line: int
    language: str
    code: str
    reason: str | None


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page, language):
    text = page.read_text(encoding="utf-8")
    return [
        Block(text.count("\n", 0, found.start("code")) + 1, language, found["code"], found["reason"])
        for found in FENCE.finditer(text)
        if found["language"] == language
    ]


def prose(page):
    """A page without its blocks of code; lines stay where they are."""
    text = page.read_text(encoding="utf-8")
    return FENCE.sub(lambda found: "\n" * found[0].count("\n"), text)


def commands(code):
    """The commands of a block of shell, as lists of words."""
    out = []
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        command = []
        for word in [*words, "&&"]:
            if word in ("&&", "||", "|", ";", ">"):
                while command and ASSIGNMENT.fullmatch(command[0]):
                    del command[0]
                out += [command] if command else []
                command = []
            else:
                command.append(word)
    return out
