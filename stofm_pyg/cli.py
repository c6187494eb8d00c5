r"""The command line: `stofm COMMAND`, or `python -m stofm_pyg COMMAND`."""

import argparse
import logging
import sys

from tqdm.contrib.logging import logging_redirect_tqdm

from stofm_pyg import __version__
from stofm_pyg.commands import COMMANDS
from stofm_pyg.commands.help_formatter import HelpFormatter, description, epilog
from stofm_pyg.commands.interruption import EXIT_INTERRUPTED, Terminated, ended_by_sigterm
from stofm_pyg.train import EXIT_TERMINATED

EXIT_BAD_INPUT = 2
EXAMPLE = """stofm inspect brain.h5ad
  stofm fit brain.h5ad --out my_model
  stofm embed my_model other.h5ad --out embedded.h5ad
  stofm domains my_model embedded.h5ad --plot pictures

exit status: 0; 2 for bad input; 130 after Ctrl-C; 143 when told to end (SIGTERM)"""


def parser() -> argparse.ArgumentParser:
    r"""Returns the parser of all commands."""
    out = argparse.ArgumentParser(
        "stofm",
        description="Graph learning for spatial transcriptomics on PyTorch Geometric.",
        epilog=epilog(EXAMPLE),
        formatter_class=HelpFormatter,
    )
    out.add_argument("--version", action="version", version=f"stofm_pyg {__version__}")
    commands = out.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=description(command.__doc__.split("\n\n")[0]),
            description=description(command.__doc__),
            epilog=epilog(command.EXAMPLE),
            formatter_class=HelpFormatter,
        )
        command.add_arguments(sub)
    return out


def main(argv: list[str] | None = None) -> int:
    r"""Runs a command; returns the exit status: 0, 2 for bad input, 130 when interrupted, 143 when told
    to end.

    Args:
        argv (list[str], optional): The arguments; those of the process if :obj:`None`.
            (default: :obj:`None`)
    """
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    try:
        with ended_by_sigterm(), logging_redirect_tqdm():
            return COMMANDS[args.command].run(args)
    except (ValueError, TypeError, OSError, FloatingPointError, ImportError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Terminated:
        print("told to end", file=sys.stderr)
        return EXIT_TERMINATED
