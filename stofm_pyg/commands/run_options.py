r"""The options of how a command runs and what it writes, the same for all commands."""

import argparse
import os
import re
from pathlib import Path

RESUME = ("auto", "never")
#: What a command takes as a model.
MODEL = "the folder of a saved model ('fit', 'finetune', 'pretrain'), user/model on the hub, or the "
MODEL += "name of one that comes with the package"


def add_model(parser: argparse.ArgumentParser):
    r"""Adds the saved model that a command uses."""
    parser.add_argument("model", metavar="MODEL", help=MODEL)


def given_path(text: str) -> Path:
    r"""Reads a path of a command line; an empty one would be the folder that one is in.

    Raises:
        ArgumentTypeError: It is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text)


def add_out(parser: argparse.ArgumentParser, metavar: str, text: str, required: bool = True):
    r"""Adds where a command writes.

    Args:
        parser (ArgumentParser): The parser of the command.
        metavar (str): :obj:`"DIR"`, :obj:`"FILE.h5ad"`, ...
        text (str): What goes there.
        required (bool, optional): Whether it must be said. (default: :obj:`True`)
    """
    parser.add_argument("--out", required=required, type=given_path, metavar=metavar, help=text)


def add_overwrite(parser: argparse.ArgumentParser):
    r"""Adds the leave to replace what is there."""
    parser.add_argument("--overwrite", action="store_true", help="replace what is there already")


def add_seed(parser: argparse.ArgumentParser, default: int | None = 0):
    r"""Adds the seed; without a default, it is the configuration's."""
    text = "of all that is random" + ("; the configuration's without" if default is None else "")
    parser.add_argument("--seed", type=int, metavar="N", default=default, help=text)


def add_device(parser: argparse.ArgumentParser):
    r"""Adds where to compute."""
    parser.add_argument("--device", default="auto", help="where to compute: auto (a GPU, if there is "
        "one), cpu, cuda, cuda:1 ...")  # fmt: skip


def add_workers(parser: argparse.ArgumentParser, text: str, default: int = 1):
    r"""Adds the number of processes.

    Args:
        parser (ArgumentParser): The parser of the command.
        text (str): What they do.
        default (int, optional): How many. (default: :obj:`1`)
    """
    parser.add_argument("--workers", type=int, default=default, metavar="N", help=text)


def check_workers(workers: int, least: int = 0):
    r"""Checks the number of processes.

    Raises:
        ValueError: It is too small.
    """
    if workers < least:
        bound = "must not be negative" if least == 0 else f"must be at least {least}"
        raise ValueError(f"--workers {bound} (got {workers})")


def add_share(parser: argparse.ArgumentParser, text: str):
    r"""Adds which share of the work is done.

    Args:
        parser (ArgumentParser): The parser of the command.
        text (str): What it means.
    """
    parser.add_argument("--share", metavar="K/N", help=f"{text}; without, that of the process under "
        "torchrun and accelerate, or all")  # fmt: skip


def find_share(text: str | None) -> tuple[int, int]:
    r"""Returns which share of how many :obj:`K/N` says; without it, what the environment of a process
    says that torchrun or accelerate has started.

    Raises:
        ValueError: It says none.
    """
    if text is None:
        return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not int(match[1]) < int(match[2]):
        raise ValueError(f"--share {text}: expected K/N with K from 0 to N - 1, such as 0/4 ... 3/4")
    return int(match[1]), int(match[2])


def add_resume(parser: argparse.ArgumentParser):
    r"""Adds whether a run goes on that was broken off."""
    parser.add_argument("--resume", choices=RESUME, default="auto", help="auto: go on from the newest "
        "checkpoint in --out, or begin where there is none; never: refuse a folder with "
        "checkpoints")  # fmt: skip


def add_preset(parser: argparse.ArgumentParser, presets: list[str]):
    r"""Adds the size of a model and its training, and the file that changes values of it."""
    add = parser.add_argument
    add("--preset", choices=presets, default="small", help="the size of model and training")
    add("--config", metavar="FILE", help="YAML or JSON: values other than the preset's")
