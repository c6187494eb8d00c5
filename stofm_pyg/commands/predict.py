r"""Names the classes of cells by what 'finetune' taught a model, or domains by what 'domains' found.

The copy of a file has the class of each cell in obs and the probabilities of a label in obsm."""

import argparse
import logging

from stofm_pyg.commands.outputs import output_files, write_h5ad
from stofm_pyg.commands.run_options import add_device, add_model, add_out, add_overwrite, add_seed
from stofm_pyg.commands.slice_options import add_slices, add_where, given_where, slice_files
from stofm_pyg.data import read
from stofm_pyg.models import SToFM
from stofm_pyg.models.label_head import DOMAINS, prediction_key
from stofm_pyg.train import find_device

EXAMPLE = "stofm predict my_tuned_model other.h5ad --out predicted.h5ad"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser):
    r"""Adds the arguments of the command."""
    add = parser.add_argument
    add_model(parser)
    add_slices(parser, "cells without the label")
    add_out(parser, "FILE.h5ad|DIR", "where the copy with classes goes; of several sources, a folder")
    add("--label", metavar="NAME", help=f"what to name, or {DOMAINS}; not needed if the model knows one "
        "thing")  # fmt: skip
    add("--key-added", metavar="NAME", help="the column of obs; 'stofm_' and the label without")
    add_where(parser)
    add_overwrite(parser)
    add_seed(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    r"""Runs the command."""
    model = SToFM.from_pretrained(args.model)
    label = _label(args.label, model, args.model)
    sources = slice_files(args.slices)
    outputs = output_files(args.out, sources, args.overwrite)
    key = args.key_added or prediction_key(label)
    device = find_device(args.device)
    for source, out in zip(sources, outputs, strict=True):
        adata = read(source)
        model.predict(
            adata, label, key, seed=args.seed, progress=True, device=device, **given_where(args)
        )
        write_h5ad(adata, out)
        cells = adata.obs[key].value_counts(sort=False)
        named = ", ".join(f"{name}: {number:,}" for name, number in cells.items())
        print(f"{source}: cells of each {label}: {named}")
        logger.info("'%s' has them in obs['%s']", out, key)
    return 0


def _label(asked: str | None, model: SToFM, folder: str) -> str:
    known = [*model.heads] + ([DOMAINS] if model.found_domains is not None else [])
    if not known:
        raise ValueError(
            f"The model in '{folder}' knows no label; teach it one by 'stofm finetune', or domains by "
            f"'stofm domains --save-model'"
        )
    if asked is None and len(known) > 1:
        raise ValueError(f"The model in '{folder}' knows {', '.join(known)}; name one by --label")
    if asked is not None and asked not in known:
        raise ValueError(f"--label {asked}: the model in '{folder}' knows {', '.join(known)}")
    return known[0] if asked is None else asked
