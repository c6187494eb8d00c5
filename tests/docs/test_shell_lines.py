"""The commands that the pages name are there and take the options that are named."""

import re

import pytest

from benchmarks import run as benchmarks_run
from stofm_pyg import cli
from stofm_pyg.commands import COMMANDS
from tests.docs.pages import PAGES, ROOT, blocks, commands, name_of, prose

LINES = {
    name_of(page): [words for block in blocks(page, "bash") for words in commands(block.code)]
    for page in PAGES
}
LINES = {name: found for name, found in LINES.items() if found}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def parse(parser, words):
    try:
        return parser.parse_args(words)
    except SystemExit as stopped:
        if stopped.code == 0:  # --help, --version
            return None
        pytest.fail(f"'{' '.join(words)}' is refused (see stderr)")


def check(words):
    """Checks a command; returns whether it is one of ours."""
    if "-m" in words and words[words.index("-m") + 1 :][:1] == ["stofm_pyg"]:
        words = ["stofm", *words[words.index("stofm_pyg") + 1 :]]
    if words[0] in ("stofm", "stofm_pyg"):
        parse(cli.parser(), words[1:])
    elif words[0] == "make":
        targets = [word for word in words[1:] if "=" not in word]
        for target in targets:
            assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE), f"make {target}"
    elif words[0] == ".ci/run":
        assert (ROOT / words[0]).is_file()
    elif words[0].startswith("python") and words[1:] and words[1].endswith(".py"):
        script = ROOT / words[1]
        assert script.is_file(), words[1]
        if script == ROOT / "benchmarks" / "run.py":
            parse(benchmarks_run.parser(), words[2:])
            return True
        text = "".join(path.read_text(encoding="utf-8") for path in script.parent.glob("*.py"))
        for option in (word.split("=")[0] for word in words[2:] if word.startswith("--")):
            # As it is written, or as a key of a table of options.
            written = rf'"{option}"|"{option[2:].replace("-", "[-_]")}": '
            assert re.search(written, text), f"{words[1]} has no option {option}"
    else:
        return False
    return True


@pytest.mark.parametrize("name", LINES)
def test_the_commands_of_a_page_are_there(name):
    for words in LINES[name]:
        check(words)


def test_commands_are_told_from_others():
    assert check(["stofm", "fit", "a.h5ad", "--out", "M"])
    assert check(["torchrun", "-m", "stofm_pyg", "pretrain", "--corpus", "corpus", "--out", "run"])
    assert not check(["pip", "install", "-e", "."])
    ours = sum(check(words) for found in LINES.values() for words in found)
    assert ours > 40


@pytest.mark.parametrize(
    "line",
    [
        "stofm fit a.h5ad",  # --out is missing
        "stofm embed M a.h5ad --out E --no-such-option",
        "python benchmarks/run.py --task nothing",
    ],
)
def test_a_wrong_command_is_found(line, capsys):
    with pytest.raises(pytest.fail.Exception, match="is refused"):
        check(line.split())


@pytest.mark.parametrize(
    "line", ["make nothing", "python tools/nothing.py", "python tools/draw_docs.py --nothing 1"]
)
def test_a_wrong_script_or_target_is_found(line):
    with pytest.raises(AssertionError):
        check(line.split())


def test_commands_of_a_block():
    code = "A=1 stofm fit x \\\n  --out M && stofm embed M y  # a word\n\necho '{}' > one.json\n"
    assert commands(code) == [
        ["stofm", "fit", "x", "--out", "M"], ["stofm", "embed", "M", "y"], ["echo", "{}"], ["one.json"]
    ]  # fmt: skip


def test_commands_and_options_within_a_text_are_there():
    (choices,) = (action.choices for action in cli.parser()._actions if isinstance(action.choices, dict))
    for page in PAGES:
        for line in re.findall(r"`stofm ([a-z][^`]*)`", prose(page)):
            words = line.split()
            assert words[0] in COMMANDS, f"{name_of(page)}: stofm {line}"
            sub = choices[words[0]]
            if words[0] == "corpus":
                continue
            for option in (word.split("=")[0] for word in words[1:] if word.startswith("--")):
                assert option in sub._option_string_actions, f"{name_of(page)}: stofm {line}"
