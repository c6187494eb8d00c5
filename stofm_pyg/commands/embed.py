r"""Embeds the cells of slices with a saved model, into copies of the files.

The copy is an h5ad with the embedding in obsm; all else is as it was. Of one source --out is a file, of
several a folder."""

import argparse
import logging

from stofm_pyg.commands.kept_embedding import mark_embedding
from stofm_pyg.commands.outputs import output_files, write_h5ad
from stofm_pyg.commands.run_options import add_device, add_model, add_out, add_overwrite, add_seed
from stofm_pyg.commands.slice_options import add_slices, add_where, given_where, slice_files
from stofm_pyg.data import Keys, read
from stofm_pyg.models import SToFM
from stofm_pyg.train import find_device

EXAMPLE = "stofm embed my_model other.h5ad --out embedded.h5ad"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser):
    r"""Adds the arguments of the command."""
    add_model(parser)
    add_slices(parser, "what is embedded")
    add_out(parser, "FILE.h5ad|DIR", "where the copy goes; of several sources, a folder")
    parser.add_argument("--key-added", default=Keys.EMBEDDING, metavar="NAME",
        help="the key of the embedding in obsm")  # fmt: skip
    add_where(parser)
    add_overwrite(parser)
    add_seed(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    r"""Runs the command."""
    model, where = SToFM.from_pretrained(args.model), given_where(args)
    sources = slice_files(args.slices)
    outputs = output_files(args.out, sources, args.overwrite)
    device = find_device(args.device)
    for source, out in zip(sources, outputs, strict=True):
        adata = read(source)
        model.embed(
            adata, seed=args.seed, progress=True, key_added=args.key_added, device=device, **where
        )
        mark_embedding(adata, args.key_added, model, args.seed, where)
        write_h5ad(adata, out)
        logger.info("'%s' has the embedding in obsm['%s']", out, args.key_added)
    return 0
