import subprocess
import sys

import pytest

from stofm_pyg import __version__, cli
from stofm_pyg.cli import main
from stofm_pyg.commands import COMMANDS


@pytest.mark.parametrize("argv", [["--help"], ["adapt", "--help"]])
def test_help(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 0
    assert "adapt" in capsys.readouterr().out


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_of_each_command(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0 and COMMANDS[name].__doc__.split(",")[0] in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"stofm_pyg {__version__}"


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["adapt"], ["adapt", "a.h5ad", "--vocab", "slices"]])
def test_wrong_usage(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2 and "usage: stofm_pyg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ValueError("bad\n  input"), 2, "error: bad input"),
        (OSError("no disk"), 2, "error: no disk"),
        (FloatingPointError("nan"), 2, "error: nan"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_errors_become_one_line(monkeypatch, capsys, error, status, line):
    class Command:
        """A command."""

        @staticmethod
        def add_arguments(parser):
            pass

        @staticmethod
        def run(args):
            raise error

    Command.__doc__ = "Fails."
    monkeypatch.setitem(COMMANDS, "fail", Command)
    assert cli.main(["fail"]) == status
    assert capsys.readouterr().err.strip() == line


def test_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "stofm_pyg", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"stofm_pyg {__version__}"
