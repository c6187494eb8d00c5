r"""Embeds the cells of slices with a saved model, into copies of the files.

The copy is an h5ad with the embedding in obsm; all else is as it was. Of one source --out is a file, of
several a folder. By --parts, a slice of any size is embedded in the memory of a part of it; the same
command goes on after a break, and several processes share the work."""

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from stofm_pyg._files import locked, write_atomically
from stofm_pyg.commands.embedded_copy import write_copy
from stofm_pyg.commands.kept_embedding import mark_embedding
from stofm_pyg.commands.outputs import H5AD, output_file, output_files, output_folder, write_h5ad
from stofm_pyg.commands.run_options import (
    add_device,
    add_model,
    add_out,
    add_overwrite,
    add_seed,
    add_share,
    find_share,
    given_path,
)
from stofm_pyg.commands.slice_options import add_slices, add_where, given_where, slice_files
from stofm_pyg.data import Keys, read
from stofm_pyg.models import SToFM, embed_in_parts
from stofm_pyg.train import find_device

EXAMPLE = "stofm embed my_model other.h5ad --out embedded.h5ad"
# An embedding alone, of which no copy of a file is made.
ARRAY = ".npy"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser):
    r"""Adds the arguments of the command."""
    add_model(parser)
    add_slices(parser, "what is embedded")
    add_out(parser, "FILE.h5ad|FILE.npy|DIR", "where the copy goes, or in .npy the embedding alone; of "
        "several sources, a folder")  # fmt: skip
    parser.add_argument("--key-added", default=Keys.EMBEDDING, metavar="NAME",
        help="the key of the embedding in obsm")  # fmt: skip
    parser.add_argument("--parts", type=given_path, metavar="DIR", help="embeds part by part by way of "
        "this folder, of these sources, model and seed alone; goes on from what is there")  # fmt: skip
    add_share(parser, "embeds the K-th of N shares, from 0 on, with --parts; the process that finds all "
        "of them there writes --out")  # fmt: skip
    add_where(parser)
    add_overwrite(parser)
    add_seed(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    r"""Runs the command."""
    share = _share(args)
    sources = slice_files(args.slices)
    several = share[1] > 1
    outputs = _outputs(args.out, sources, args.overwrite or several)
    if args.parts is not None:
        output_folder(args.parts, option="--parts")
    model, where = SToFM.from_pretrained(args.model), given_where(args)
    options = {"seed": args.seed, "progress": True, "device": device_of(args.device), **where}
    for source, out in zip(sources, outputs, strict=True):
        if several and out.exists() and not args.overwrite:
            logger.warning("'%s' is there already, and is left as it is", out)
        elif args.parts is not None:
            parts = args.parts if len(sources) == 1 else args.parts / out.stem
            z = embed_in_parts(model, source, parts, share, **options)
            if z is not None:
                with locked(parts, wait=True):
                    if args.overwrite or not out.exists():
                        _write_parts(z, source, out, args, model, where)
        elif out.suffix.lower() == ARRAY:
            _save(model.embed(source, **options).numpy(), out)
        else:
            adata = read(source)
            model.embed(adata, key_added=args.key_added, **options)
            mark_embedding(adata, args.key_added, model, args.seed, where)
            write_h5ad(adata, out)
            logger.info("'%s' has the embedding in obsm['%s']", out, args.key_added)
    return 0


def _share(args: argparse.Namespace) -> tuple[int, int]:
    if args.parts is None:
        if args.share is not None:
            raise ValueError(f"--share {args.share} takes --parts DIR, the folder that is shared")
        return 0, 1
    return find_share(args.share)


def device_of(name: str) -> torch.device:
    r"""The device of a name; under torchrun, :obj:`"auto"` is a GPU for each process of a machine."""
    device = find_device(name)
    if name == "auto" and device.type == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    return device


def _outputs(out: Path, sources: Sequence[Path], overwrite: bool) -> list[Path]:
    if len(sources) == 1:
        return [output_file(out, sources, overwrite, (*H5AD, ARRAY))]
    return output_files(out, sources, overwrite)


def _write_parts(
    z: np.ndarray, source: Path, out: Path, args: argparse.Namespace, model: SToFM, where: dict
):
    if out.suffix.lower() == ARRAY:
        _save(z, out)
        return
    write_copy(source, out, args.key_added, z, model, args.seed, where)
    logger.info("'%s' has the embedding in obsm['%s']", out, args.key_added)


def _save(z: np.ndarray, out: Path):
    def write(part: Path):
        with open(part, "wb") as file:  # By its name, numpy would give it another ending.
            np.save(file, z)

    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, write)
    logger.info("'%s' is the embedding, one row a cell", out)
