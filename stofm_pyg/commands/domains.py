r"""Finds tissue domains that all slices share, without labels, and writes or draws them.

Embeddings that the same model has written into a file are taken as they are; others are made."""

import argparse
import logging

import torch

from stofm_pyg.commands.kept_embedding import kept_embedding
from stofm_pyg.commands.outputs import output_file, output_files, output_folder, write_h5ad
from stofm_pyg.commands.run_options import (
    add_device,
    add_model,
    add_out,
    add_overwrite,
    add_seed,
    given_path,
)
from stofm_pyg.commands.slice_options import (
    add_slices,
    add_where,
    given_where,
    slice_files,
    where_to_draw,
)
from stofm_pyg.data import Keys, read
from stofm_pyg.data.slices.files import file_names
from stofm_pyg.models import SToFM
from stofm_pyg.models.domains import Domains
from stofm_pyg.plot import plot_domains
from stofm_pyg.train import find_device

EXAMPLE = "stofm domains my_model embedded.h5ad --plot pictures --out domains.h5ad"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser):
    r"""Adds the arguments of the command."""
    add = parser.add_argument
    add_model(parser)
    add_slices(parser, "in what domains are found")
    add_out(
        parser, "FILE.h5ad|DIR", "where the copy with domains goes; of several sources, a folder", False
    )
    add("--plot", type=given_path, metavar="DIR", help="where pictures of the domains on the tissue go")
    add("--save-model", type=given_path, metavar="DIR", help="where the model goes that knows the "
        "domains, so that 'predict --label domains' finds them in other slices")  # fmt: skip
    add("--num-domains", type=int, metavar="N", help="how many; without, as many as halves of the "
        "cells agree upon")  # fmt: skip
    add("--resolution", type=float, metavar="X", help="the resolution of Leiden, which then chooses "
        "the number")  # fmt: skip
    add("--key-added", default=Keys.DOMAIN, metavar="NAME", help="the column of obs")
    add_where(parser)
    add_overwrite(parser)
    add_seed(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    r"""Runs the command."""
    if args.out is None and args.plot is None and args.save_model is None:
        raise ValueError("Say where domains go: --out FILE.h5ad, --plot DIR or --save-model DIR")
    if args.num_domains is not None and (args.num_domains < 1 or args.resolution is not None):
        raise ValueError(
            f"--num-domains must be at least 1 (got {args.num_domains}), and stand without --resolution"
        )
    model, where = SToFM.from_pretrained(args.model), given_where(args)
    sources = slice_files(args.slices)
    names = [name.replace("/", "_") for name in file_names(sources)]
    outputs = [] if args.out is None else output_files(args.out, sources, args.overwrite)
    pictures = []
    if args.plot is not None:
        folder = output_folder(args.plot, option="--plot")
        pictures = [
            output_file(folder / f"{name}_domains.png", (), args.overwrite, (".png",), "--plot")
            for name in names
        ]
    if args.save_model is not None:
        output_folder(args.save_model, args.overwrite, "--save-model")
    device = find_device(args.device)

    adatas, embeddings = [], []
    for source in sources:
        adata = read(source)
        kept = (kept_embedding(adata, key, model, args.seed, where) for key in adata.obsm)
        z = next((x for x in kept if x is not None), None)
        if z is None:
            z = model.embed(adata, key_added=None, seed=args.seed, progress=True, device=device, **where)
        else:
            logger.info("'%s' holds the embedding of this model", source)
        adatas.append(adata)
        embeddings.append(z)
    found = Domains.fit(torch.cat(embeddings).numpy(), args.num_domains, args.resolution, args.seed)
    model.found_domains = found
    for adata, z in zip(adatas, embeddings, strict=True):
        adata.obs[args.key_added] = found.assign(z.numpy())
    for out, adata in zip(outputs, adatas, strict=False):
        write_h5ad(adata, out)
        logger.info("'%s' has the domains in obs['%s']", out, args.key_added)
    for path, adata in zip(pictures, adatas, strict=False):
        path.parent.mkdir(parents=True, exist_ok=True)
        plot_domains(
            adata, path, key=args.key_added, **where_to_draw(adata, model.settings.replace(**where))
        )
        logger.info("'%s' shows them", path)
    if args.save_model is not None:
        model.save_pretrained(args.save_model)
        logger.info("'%s' holds the model that knows them", args.save_model)
    for name, adata in zip(names, adatas, strict=True):
        cells = adata.obs[args.key_added].value_counts(sort=False)
        sizes = ", ".join(f"{domain}: {number:,}" for domain, number in cells.items())
        print(f"{name}: cells of {found.n} domains: {sizes}")
    return 0
