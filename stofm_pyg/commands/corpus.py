r"""Builds a corpus of slices on disk, from which pre-training reads."""

import argparse
import re
from pathlib import Path

from stofm_pyg.commands.read_cells import read_vocab
from stofm_pyg.corpus import CorpusSettings, build_corpus
from stofm_pyg.loader import SpatialClusterData
from stofm_pyg.transforms import NormalizePosition


def add_arguments(parser: argparse.ArgumentParser):
    r"""Adds the arguments of the command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    text = "Converts h5ad files to a corpus, one shard per slice; what is there is not made again."
    build = actions.add_parser(
        "build",
        help=text,
        description=text,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    default = CorpusSettings()
    add = build.add_argument
    add("slices", nargs="+", metavar="SLICES", help="h5ad files of raw counts, or folders of them")
    add("--out", required=True, type=Path, metavar="DIR", help="where the corpus goes")
    add("--vocab", required=True, metavar="DIR|FILE|slices", help="Geneformer's tables (a folder or "
        "hub id), a saved vocabulary, or 'slices' to make one of the slices")  # fmt: skip
    add("--layer", help="the layer of the raw counts, if they are not in X")
    add("--orthologues", metavar="FILE", help="mouse genes and their human genes")
    add("--slice-key", default=default.slice_key, help="the column of obs that tells slices apart")
    add("--spatial-key", default=default.spatial_key, help="the key of the positions in obsm")
    add("--cells-per-part", type=int, default=default.cells_per_part, help="cells of a subpatch")
    add("--method", choices=SpatialClusterData.methods, default=default.method,
        help="how slices are cut into subpatches")  # fmt: skip
    add("--radius", type=float, default=default.radius, help="cells so near are joined")
    add("--unit", choices=NormalizePosition.units, default=default.unit, help="the unit of distances")
    add("--microns-per-unit", type=float, default=default.microns_per_unit,
        help="of the positions in the files, for --unit micron")  # fmt: skip
    add("--max-length", type=int, default=default.max_length, help="the most tokens of a cell")
    add("--seed", type=int, default=default.seed, help="of all that is random")
    add("--workers", type=int, default=1, metavar="N", help="the number of processes")
    add("--share", default="0/1", metavar="K/N", help="makes the K-th of N shares, from 0 on: for "
        "several machines with one folder and the same files")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    r"""Runs the command."""
    share = _share(args.share)
    names = ("layer", "slice_key", "spatial_key", "cells_per_part", "method", "radius", "unit")
    names += ("microns_per_unit", "max_length", "seed")
    settings = CorpusSettings(**{name: getattr(args, name) for name in names})
    files = _files(args.slices)
    build_corpus(
        files,
        args.out,
        read_vocab(args.vocab, [str(file) for file in files], args.layer),
        settings,
        orthologues=args.orthologues,
        share=share,
        workers=args.workers,
        progress=True,
    )
    return 0


def _files(slices: list[str]) -> list[Path]:
    out = []
    for path in map(Path, slices):
        found = sorted(path.glob("*.h5ad")) if path.is_dir() else [path]
        if not found:
            raise ValueError(f"The folder '{path}' has no file '*.h5ad'; name files or another folder")
        out += found
    return out


def _share(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not int(match[1]) < int(match[2]):
        raise ValueError(f"--share {text}: expected K/N with K from 0 to N - 1, such as 0/4 ... 3/4")
    return int(match[1]), int(match[2])
