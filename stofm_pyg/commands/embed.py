r"""Embeds the cells of a file with a saved model, into a copy of the file."""

import argparse
import logging
from pathlib import Path

import anndata

from stofm_pyg._files import write_atomically
from stofm_pyg.commands.slice_options import add_where, given_where
from stofm_pyg.data import Keys
from stofm_pyg.models import SToFM

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser):
    r"""Adds the arguments of the command."""
    add = parser.add_argument
    add("model", metavar="DIR", help="a folder that 'fit' or 'pretrain' wrote")
    add("slices", metavar="FILE.h5ad", help="raw counts, cells by genes")
    add("--out", required=True, type=Path, metavar="FILE.h5ad", help="where the copy goes")
    add("--key-added", default=Keys.EMBEDDING, metavar="NAME", help="the key of the embedding in obsm")
    add_where(parser)
    add("--seed", type=int, default=0, help="of partition and masks")
    add("--device", help="cpu, cuda, cuda:1 ...")


def run(args: argparse.Namespace) -> int:
    r"""Runs the command."""
    model = SToFM.from_pretrained(args.model)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if args.out.is_dir():
        raise ValueError(f"--out {args.out} is a folder; name a file")
    adata = anndata.read_h5ad(args.slices)
    model.embed(
        adata, seed=args.seed, progress=True, key_added=args.key_added, device=args.device,
        **given_where(args),
    )  # fmt: skip
    write_atomically(args.out, adata.write_h5ad)
    logger.info("'%s' has the embedding in obsm['%s']", args.out, args.key_added)
    return 0
