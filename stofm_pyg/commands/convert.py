r"""Writes slices as h5ad, or as graphs for PyTorch Geometric.

An h5ad holds what was read, whichever format it was of. A .pt holds a list of slices (features,
positions, graph, virtual cells, labels) as plain dictionaries of tensors, which Python reads by
[Data.from_dict(item) for item in torch.load("slices.pt", weights_only=True)]."""

import argparse
import logging
from pathlib import Path

from torch_geometric.data import Data

from stofm_pyg._files import save_torch, write_atomically
from stofm_pyg.commands.outputs import output_file, write_h5ad
from stofm_pyg.commands.run_options import add_out, add_overwrite, add_seed
from stofm_pyg.commands.slice_options import (
    add_how,
    add_slices,
    given_where,
    model_settings,
    slice_files,
    slice_settings,
)
from stofm_pyg.data import read, slices_from_anndata
from stofm_pyg.datasets import H5adSlices
from stofm_pyg.models import SToFM

EXAMPLE = "stofm convert brain.h5ad --label domain --out slices.pt"

H5AD, SLICES = ".h5ad", ".pt"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser):
    r"""Adds the arguments of the command."""
    add = parser.add_argument
    add_slices(parser, "what is converted")
    add_out(parser, "FILE.h5ad|FILE.pt", "the file to write; its ending says what")
    add("--features", default="pca", metavar="NAME", help="of a .pt: pca, or a key in obsm")
    add("--label", action="append", default=[], metavar="NAME", help="of a .pt: a column of obs with "
        "classes to take along; may be given again")  # fmt: skip
    add(
        "--model", metavar="MODEL", help="of a .pt: a saved model, whose features and settings are taken"
    )
    add("--raw", action="store_true", help="of an h5ad: take the matrix in .raw as X, where counts are "
        "kept there")  # fmt: skip
    add_how(parser)
    add_overwrite(parser)
    add_seed(parser)


def run(args: argparse.Namespace) -> int:
    r"""Runs the command."""
    sources = slice_files(args.slices)
    out = output_file(args.out, sources, args.overwrite, (H5AD, SLICES))
    if out.suffix == H5AD:
        if args.model is not None or args.label:
            option = "--label" if args.label else "--model"
            raise ValueError(f"{option} is for {SLICES}; an h5ad holds what was read")
        _to_h5ad(sources, out, args.raw)
        return 0
    if args.raw:
        raise ValueError(f"--raw is for {H5AD}; write one first, and convert that")
    slices = _slices(sources, args)
    out.parent.mkdir(parents=True, exist_ok=True)
    content = [data.to_dict() for data in slices]
    write_atomically(out, lambda part: save_torch(content, part))
    for data in slices:
        cells, edges = int((data.cell_id >= 0).sum()), data.edge_index.size(1)
        logger.info("Slice %r: %s cells, %s edges", data.name, f"{cells:,}", f"{edges:,}")
    logger.info("'%s' holds %d slice%s", out, len(slices), "s" * (len(slices) != 1))
    return 0


def _to_h5ad(sources: list[Path], out: Path, raw: bool):
    if len(sources) > 1:
        raise ValueError(
            f"An h5ad is written of one source (got {len(sources)}); convert each by itself"
        )
    adata = read(sources[0])
    if raw:
        if adata.raw is None:
            raise ValueError(f"'{sources[0]}' has nothing in .raw; leave --raw out")
        whole = adata.raw.to_adata()
        whole.obs, whole.uns, whole.obsm = adata.obs, adata.uns, adata.obsm
        adata = whole
    write_h5ad(adata, out)
    logger.info("'%s' holds %s cells of %s genes", out, f"{adata.n_obs:,}", f"{adata.n_vars:,}")


def _slices(sources: list[Path], args: argparse.Namespace) -> list[Data]:
    if args.model is not None:
        model, where = SToFM.from_pretrained(args.model), given_where(args)
        model_settings(model, args)
        if args.label:
            raise ValueError("--model makes slices without labels; leave --label or --model out")
        return [data for source in sources for data in model.slices(source, **where)]
    settings = slice_settings(args, seed=args.seed)
    if len(sources) == 1:
        return slices_from_anndata(sources[0], settings, features=args.features, labels=args.label)
    return list(H5adSlices(sources, settings, features=args.features, labels=args.label))
