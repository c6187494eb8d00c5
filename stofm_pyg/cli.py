r"""The command line: `stofm COMMAND`, or `python -m stofm_pyg COMMAND`."""

import argparse
import logging
import sys

from stofm_pyg import __version__
from stofm_pyg.commands import COMMANDS, find_command, summary
from stofm_pyg.commands.help_formatter import HelpFormatter, description, epilog
from stofm_pyg.commands.interruption import (
    EXIT_INTERRUPTED,
    EXIT_TERMINATED,
    Terminated,
    ended_by_sigterm,
)

EXIT_BAD_INPUT = 2
EXAMPLE = """stofm inspect brain.h5ad
  stofm fit brain.h5ad --out my_model
  stofm embed my_model other.h5ad --out embedded.h5ad
  stofm domains my_model embedded.h5ad --plot pictures

exit status: 0; 2 for bad input; 130 after Ctrl-C; 143 when told to end (SIGTERM)"""


def parser(chosen: str | None = None) -> argparse.ArgumentParser:
    r"""Returns the parser of all commands.

    Args:
        chosen (str, optional): The only command whose arguments it has to know, so that the others need
            not be imported; all without. (default: :obj:`None`)
    """
    out = argparse.ArgumentParser(
        "stofm",
        description="Graph learning for spatial transcriptomics on PyTorch Geometric.",
        epilog=epilog(EXAMPLE),
        formatter_class=HelpFormatter,
    )
    out.add_argument("--version", action="version", version=f"stofm_pyg {__version__}")
    commands = out.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        sub = commands.add_parser(name, help=description(summary(name)), formatter_class=HelpFormatter)
        if chosen in (None, name):
            command = find_command(name)
            sub.description, sub.epilog = description(command.__doc__), epilog(command.EXAMPLE)
            command.add_arguments(sub)
    return out


def main(argv: list[str] | None = None) -> int:
    r"""Runs a command; returns the exit status: 0, 2 for bad input, 130 when interrupted, 143 when told
    to end.

    Args:
        argv (list[str], optional): The arguments; those of the process if :obj:`None`.
            (default: :obj:`None`)
    """
    argv = sys.argv[1:] if argv is None else argv
    args = parser(argv[0] if argv else "").parse_args(argv)

    # Here, so that help and version come at once.
    from tqdm.contrib.logging import logging_redirect_tqdm

    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    try:
        with ended_by_sigterm(), logging_redirect_tqdm():
            return find_command(args.command).run(args)
    except (ValueError, TypeError, OSError, FloatingPointError, ImportError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Terminated:
        print("told to end", file=sys.stderr)
        return EXIT_TERMINATED
