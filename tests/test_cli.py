import argparse
import shlex
import subprocess
import sys

import pytest

from stofm_pyg import __version__, cli
from stofm_pyg.cli import main
from stofm_pyg.commands import COMMANDS, find_command, summary
from stofm_pyg.commands.interruption import Terminated


@pytest.mark.parametrize("argv", [["--help"], ["adapt", "--help"]])
def test_help(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 0
    assert "adapt" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0 and " ".join(find_command(name).__doc__.split()) in told


def test_the_list_of_commands(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    for name in COMMANDS:
        assert summary(name) == find_command(name).__doc__.split("\n\n")[0]
        assert f"{name} {' '.join(summary(name).split())}" in told


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_what_takes_long_to_import_is_not_for_help(option):
    code = f"""import sys
from stofm_pyg.cli import main
try:
    main(["{option}"])
except SystemExit:
    print(sorted({{"numpy", "torch", "anndata", "matplotlib"}} & sys.modules.keys()))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_command_is_imported_alone(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(cli, "find_command", lambda name: asked.append(name) or find_command(name))
    with pytest.raises(SystemExit):
        main(["convert", "--help"])
    assert asked == ["convert"] and "usage: stofm convert" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["--help", *COMMANDS])
def test_examples_are_in_the_help_and_can_be_typed(name, capsys):
    lines = cli.EXAMPLE.splitlines()[:4] if name == "--help" else [find_command(name).EXAMPLE]
    action = ["build"] if name == "corpus" else []
    with pytest.raises(SystemExit):
        main([name, *action, "--help"])
    told = capsys.readouterr().out
    for line in map(str.strip, lines):
        program, *args = shlex.split(line)
        assert line in told and program == "stofm"
        command = cli.parser().parse_args(args).command
        assert command == (args[0] if name == "--help" else name)


def test_options_mean_the_same_everywhere():
    """One option has one form, default and help, wherever it is."""
    common = {
        "seed",
        "device",
        "resume",
        "overwrite",
        "slice_key",
        "spatial_key",
        "layer",
        "unit",
        "radius",
    }
    seen = {}
    for name, sub in subcommands().items():
        for action in sub._actions:
            if action.dest not in common:
                continue
            what = (
                action.type,
                tuple(action.choices or ()),
                action.metavar,
                action.help.partition(";")[0],
            )
            assert seen.setdefault(action.dest, what) == what, (name, action.dest)
    assert set(seen) == common
    assert all(any(action.dest == "out" for action in sub._actions) or name == "inspect"
               for name, sub in subcommands().items())  # fmt: skip


def subcommands():
    (commands,) = (a for a in cli.parser()._actions if isinstance(a, argparse._SubParsersAction))
    out = dict(commands.choices)
    (actions,) = (a for a in out["corpus"]._actions if isinstance(a, argparse._SubParsersAction))
    return {**out, "corpus": actions.choices["build"]}


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"stofm_pyg {__version__}"


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["adapt"], ["adapt", "a.h5ad", "--vocab", "slices"]])
def test_wrong_usage(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2 and "usage: stofm " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ValueError("bad\n  input"), 2, "error: bad input"),
        (OSError("no disk"), 2, "error: no disk"),
        (FloatingPointError("nan"), 2, "error: nan"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (Terminated(), 143, "told to end"),
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

    Command.EXAMPLE = "stofm plot"
    monkeypatch.setattr(cli, "find_command", lambda name: Command)
    assert cli.main(["plot"]) == status
    assert capsys.readouterr().err.strip() == line


def test_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "stofm_pyg", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"stofm_pyg {__version__}"
