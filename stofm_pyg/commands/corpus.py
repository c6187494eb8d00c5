r"""Builds a corpus of slices on disk, from which pre-training reads."""

import argparse
from pathlib import Path

from stofm_pyg.commands.help_formatter import HelpFormatter, epilog
from stofm_pyg.commands.outputs import output_folder
from stofm_pyg.commands.read_cells import read_vocab
from stofm_pyg.commands.run_options import (
    add_out,
    add_seed,
    add_share,
    add_workers,
    check_workers,
    find_share,
)
from stofm_pyg.commands.slice_options import (
    add_how,
    add_slices,
    model_settings,
    slice_files,
    slice_settings,
)
from stofm_pyg.corpus import build_corpus
from stofm_pyg.data import SliceSettings
from stofm_pyg.data.slices.reader import SliceReader
from stofm_pyg.models import SToFM
from stofm_pyg.models.features import Features, ObsmFeatures, PCAFeatures, TokenFeatures

EXAMPLE = "stofm corpus build slices/ --vocab Geneformer/geneformer --out corpus"
SUMMARY = "Converts slices to a corpus, one shard per slice; what is there is not made again."


def add_arguments(parser: argparse.ArgumentParser):
    r"""Adds the arguments of the command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = actions.add_parser(
        "build",
        help=SUMMARY,
        description=SUMMARY,
        epilog=epilog(EXAMPLE),
        formatter_class=HelpFormatter,
    )
    default = SliceSettings()
    add = build.add_argument
    add_slices(build, "cells with raw counts")
    add_out(build, "DIR", "where the corpus goes; shards that are there are not made again")
    add("--features", default="auto", metavar="NAME", help="what a model is to see of a cell: tokens, "
        "pca, or a key in obsm; auto: tokens with --vocab, else pca")  # fmt: skip
    add("--vocab", metavar="DIR|FILE|slices", help="for tokens: Geneformer's tables (a folder or hub "
        "id), a saved vocabulary, or 'slices' to make one of the slices")  # fmt: skip
    add(
        "--model", metavar="MODEL", help="takes features and settings of a saved model, to go on from it"
    )
    add_how(build)
    add("--max-length", type=int, default=default.max_length, metavar="N",
        help="the most tokens of a cell")  # fmt: skip
    add_seed(build, default.seed)
    add_workers(build, "processes that convert slices")
    add_share(build, "makes the K-th of N shares, from 0 on: for several machines with one folder and "
        "the same files")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    r"""Runs the command."""
    share = find_share(args.share)
    check_workers(args.workers, least=1)
    files = slice_files(args.slices)
    out = output_folder(args.out)
    settings = slice_settings(args, max_length=args.max_length, seed=args.seed)
    vocab = features = orthologues = None
    if args.model is not None:
        model = SToFM.from_pretrained(args.model)
        settings = model_settings(model, args)
        vocab, features = model.vocab, None if model.vocab is not None else model.features
        orthologues = getattr(model.features, "orthologues", None)
        if vocab is None and (features is None or isinstance(features, TokenFeatures)):
            raise ValueError(f"The model in '{args.model}' has no features that are made of counts")
    elif args.features == "tokens" or (args.features == "auto" and args.vocab is not None):
        vocab = read_vocab(args.vocab or "slices", [str(file) for file in files], args.layer)
    else:
        features = _features(args.features, files, settings)
    build_corpus(
        files,
        out,
        vocab,
        settings,
        features=features,
        orthologues=orthologues,
        share=share,
        workers=args.workers,
        progress=True,
    )
    return 0


def _features(name: str, files: list[Path], settings: SliceSettings) -> Features:
    readers = [SliceReader(file, settings, required=False) for file in files]
    obsm = None if name in ("auto", "pca") else name
    slices = [reader.read(part, obsm) for reader in readers for part in reader.rows]
    if obsm is not None:
        return ObsmFeatures.fit(slices, obsm, settings.spatial_key)
    return PCAFeatures.fit(slices, settings.num_features, settings.spatial_key, settings.seed)
