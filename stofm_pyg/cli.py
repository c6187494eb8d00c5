r"""The command line: `python -m stofm_pyg COMMAND`."""

import argparse
import logging
import sys

from tqdm.contrib.logging import logging_redirect_tqdm

from stofm_pyg import __version__
from stofm_pyg.commands import COMMANDS


def parser() -> argparse.ArgumentParser:
    r"""Returns the parser of all commands."""
    out = argparse.ArgumentParser(
        "stofm_pyg", description="Graph learning for spatial transcriptomics on PyTorch Geometric."
    )
    out.add_argument("--version", action="version", version=f"stofm_pyg {__version__}")
    commands = out.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        summary = command.__doc__.strip()
        sub = commands.add_parser(
            name,
            help=summary,
            description=summary,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        command.add_arguments(sub)
    return out


def main(argv: list[str] | None = None) -> int:
    r"""Runs a command; returns the exit status: 0, 2 for bad input, 130 when interrupted.

    Args:
        argv (list[str], optional): The arguments; those of the process if :obj:`None`.
            (default: :obj:`None`)
    """
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    try:
        with logging_redirect_tqdm():
            return COMMANDS[args.command].run(args)
    except (ValueError, TypeError, OSError, FloatingPointError, ImportError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
