import argparse
import shutil
import textwrap


class HelpFormatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    r"""Writes the help of a command: the description as paragraphs, the example as it is typed, and
    defaults where there are some."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, []) or action.required:
            return action.help
        return super()._get_help_string(action)


def description(docstring: str) -> str:
    r"""Returns the paragraphs of a docstring, as wide as the terminal."""
    width = min(shutil.get_terminal_size().columns, 100) - 2
    paragraphs = docstring.strip().split("\n\n")
    return "\n\n".join(textwrap.fill(" ".join(text.split()), width) for text in paragraphs)


def epilog(example: str) -> str:
    r"""Returns the example of a command as it stands at the end of its help."""
    return f"example:\n  {example}"
