r"""Teaches a saved model a label of cells, and writes the model that knows it.

Cells without a label are left out. 'predict' then names the classes of other cells."""

import argparse
import logging

from stofm_pyg.commands.outputs import output_folder
from stofm_pyg.commands.run_options import add_device, add_model, add_out, add_overwrite, add_seed
from stofm_pyg.commands.slice_options import add_slices, add_where, given_where, slice_files
from stofm_pyg.models import SToFM
from stofm_pyg.train import find_device

EXAMPLE = "stofm finetune my_model labelled.h5ad --label cell_type --out my_tuned_model"

TRAIN = ("head", "last", "all")
READ = ("auto", "embedding", "both", "features")

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser):
    r"""Adds the arguments of the command."""
    add = parser.add_argument
    add_model(parser)
    add_slices(parser, "cells with the label")
    add("--label", required=True, metavar="NAME", help="the column of obs with the classes")
    add_out(parser, "DIR", "where the model goes that knows the label")
    add("--train", choices=TRAIN, default="head", help="what is trained: a linear layer on the "
        "embeddings as they are; with the last layer of the model; or with all of them")  # fmt: skip
    add("--read", choices=READ, default="auto", help="what it reads: the embedding, the features "
        "that cells enter the model with, both, or what does best on slices that it was not fitted to")
    add("--steps", type=int, default=300, metavar="N", help="steps of last and all")
    add("--lr", type=float, default=3e-4, metavar="X", help="their peak learning rate")
    add_where(parser)
    add_overwrite(parser)
    add_seed(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    r"""Runs the command."""
    if args.steps < 1:
        raise ValueError(f"--steps must be at least 1 (got {args.steps})")
    model = SToFM.from_pretrained(args.model)
    sources = slice_files(args.slices)
    out = output_folder(args.out, args.overwrite)
    model.finetune(
        sources, args.label, train=args.train, read=args.read, num_steps=args.steps, lr=args.lr,
        seed=args.seed, device=find_device(args.device), **given_where(args),
    )  # fmt: skip
    model.save_pretrained(out)
    classes = model.heads[args.label].classes
    logger.info(
        "'%s' holds the model; it tells %d classes apart: %s", out, len(classes), ", ".join(classes)
    )
    return 0
