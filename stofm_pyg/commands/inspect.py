r"""Tells what would be used of slices: counts, genes, slices, graph, and about how long training takes.

Nothing is trained. Of large files some thousand cells are looked at. With --signal, which takes longer,
it also measures how much of the expression of cells lies in where they are."""

import argparse
import json
import math
from collections.abc import Mapping
from typing import Any

from anndata import AnnData

from stofm_pyg.commands.describe_source import describe_source
from stofm_pyg.commands.estimate import estimate
from stofm_pyg.commands.inspect_text import inspect_text
from stofm_pyg.commands.read_cells import read_vocab
from stofm_pyg.commands.run_options import add_seed
from stofm_pyg.commands.slice_options import add_how, add_slices, slice_files, slice_settings
from stofm_pyg.commands.tissue_report import LABELS, tissue_report, tissue_text
from stofm_pyg.data import read
from stofm_pyg.data.slices.files import file_names
from stofm_pyg.datasets import generate_tissue
from stofm_pyg.train import PRESETS

EXAMPLE = "stofm inspect brain.h5ad --slice-key section --vocab Geneformer/geneformer"


def add_arguments(parser: argparse.ArgumentParser):
    r"""Adds the arguments of the command."""
    add = parser.add_argument
    add_slices(parser, "what is looked at", nargs="*")
    add("--generated", action="store_true", help="generated tissue in the place of files")
    add("--vocab", metavar="DIR|FILE|slices", help="the vocabulary that genes are matched to")
    add("--preset", choices=list(PRESETS), default="small", help="whose time and memory is estimated")
    add("--json", action="store_true", help="print JSON")
    add("--signal", action="store_true", help="measure what lies in where cells are, all sources "
        "together: Moran's I, what rings around a cell predict, variance between classes")  # fmt: skip
    add("--label", action="append", metavar="NAME", help="for --signal: a column of obs with classes; "
        f"may be given again ({' and '.join(LABELS)}, where there are such)")  # fmt: skip
    add_how(parser)
    add_seed(parser)


def run(args: argparse.Namespace) -> int:
    r"""Runs the command."""
    if bool(args.slices) == args.generated:
        raise ValueError("Name files or folders, or pass --generated; one of the two")
    settings = slice_settings(args, seed=args.seed)
    sources: dict[str, Any] = {"generated": generate_tissue(seed=args.seed)}
    if not args.generated:
        paths = slice_files(args.slices)
        sources = dict(zip(file_names(paths), paths, strict=True))
    vocab = None
    if args.vocab is not None:
        vocab = read_vocab(args.vocab, list(sources.values()), args.layer)
    described = [describe_source(source, settings, vocab, name) for name, source in sources.items()]
    report = {
        "settings": settings.to_dict(),
        "sources": described,
        "estimate": estimate(described, args.preset),
    }
    if args.signal:
        tissue = {
            name: source if isinstance(source, AnnData) else read(source)
            for name, source in sources.items()
        }
        report["signal"] = tissue_report(tissue, settings, args.label)
    if args.json:
        print(json.dumps(plain(report), indent=1))
        return 0
    print(inspect_text(report))
    if args.signal:
        print("\nsignal\n" + tissue_text(report["signal"]))
    return 0


def plain(value: Any) -> Any:
    r"""The report as JSON knows it: what is no number is :obj:`None`."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
