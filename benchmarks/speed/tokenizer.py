r"""Speed and memory of the rank-value tokenizer against a loop over cells as in Geneformer and SToFM:
`python benchmarks/speed/tokenizer.py --data FILE.h5ad --vocab DIR [--json FILE]`.

Both sides start from counts in memory and columns that are matched to genes already (`map_s` is the
time which that takes); ours checks the counts too. Tokens are compared before anything is timed.
`--synthetic CELLS GENES` tokenises generated counts in a process of its own: `process_mib` is the most
memory which that process had, its libraries and the counts included.
"""

import argparse
import json
import re
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from anndata import AnnData

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.speed.harness import (  # noqa: E402
    add_options,
    exit_status,
    measure_peak,
    rows_table,
    run_in_child,
    run_script,
    write_rows,
)
from benchmarks.speed.synthetic_counts import synthetic_counts  # noqa: E402
from benchmarks.speed.tokenize_loop import tokenize_loop  # noqa: E402
from stofm_pyg.data.genes.vocab import GeneVocab  # noqa: E402
from stofm_pyg.data.slices.counts import get_matrix  # noqa: E402
from stofm_pyg.data.slices.files import opened_anndata  # noqa: E402
from stofm_pyg.data.tokens.cell_tokens import CellTokens  # noqa: E402
from stofm_pyg.data.tokens.tokenizer import RankValueTokenizer  # noqa: E402

LOOP, OURS = "loop", "stofm_pyg"
TOLERANCE = 1e-5  # Of a value: the official code scales counts in float32.


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(out, ())
    out.set_defaults(device="cpu")
    add = out.add_argument
    add("--data", type=Path, metavar="FILE.h5ad", help="raw counts; --cells N takes the first N cells")
    add("--vocab", metavar="DIR", help="directory with the vocabulary of Geneformer")
    add("--max-length", type=int, default=2048, help="tokens of a cell at most (default: 2048)")
    add("--synthetic", nargs=2, type=int, metavar=("CELLS", "GENES"), help="tokenise generated counts")
    add("--detected", type=float, help="genes of a generated cell (default: a quarter of all)")
    return out


class Comparison:
    r"""Builds the sides for the harness and compares what they give."""

    def __init__(self, args: argparse.Namespace):
        if args.vocab is None:
            raise ValueError("--data needs --vocab DIR, the directory with token_dictionary.pkl")
        self.args = args
        self.vocab = GeneVocab.from_geneformer(args.vocab)
        with opened_anndata(args.data) as adata:
            self.counts = get_matrix(adata)
            self.adata = AnnData(self.counts, var=adata.var)
        self.mapping = self.vocab.map(self.adata)  # Lookup tables are made by the first call.
        start = perf_counter()
        self.vocab.map(self.adata)
        self.map_seconds = perf_counter() - start

    def build(self, case: str, side: str, cells: int) -> "Run":
        r"""Prepares one side for the first cells."""
        if cells > self.adata.n_obs:
            raise ValueError(f"--cells {cells}: {self.args.data} has {self.adata.n_obs} cells")
        adata = self.adata if cells == self.adata.n_obs else self.adata[:cells].copy()
        return Run(side, adata, self)

    def check(self, case: str, cells: int, runs: Mapping[str, Callable]) -> dict[str, dict]:
        r"""Compares ours with the loop.

        Raises:
            ValueError: If they differ in more than the order of equal values.
        """
        if set(runs) != {LOOP, OURS}:
            return {}
        everything = self.adata.n_vars + 1  # Equal values at the limit may stay or go.
        ours, values = runs[OURS].tokenize(everything, return_values=True)
        differing = compare_tokens(ours, values.numpy(), runs[LOOP].tokenize(everything))
        print(f"{ours.tokens.numel():,} tokens, {differing:,} in another order of equal values")
        return {OURS: {"tokens": ours.tokens.numel(), "differing": differing, "compared_with": LOOP}}


class Run:
    r"""One side, called without arguments."""

    def __init__(self, side: str, adata: AnnData, comparison: Comparison):
        self.side, self.adata, self.comparison = side, adata, comparison

    def __call__(self) -> object:
        return self.tokenize(self.comparison.args.max_length)

    def tokenize(self, max_length: int, **options):
        r"""The tokens of all cells: of the loop a list of lists."""
        vocab, mapping = self.comparison.vocab, self.comparison.mapping
        if self.side == LOOP:
            return tokenize_loop(self.adata.X, mapping, vocab.cls_token_id, max_length)
        return RankValueTokenizer(vocab, max_length)(self.adata, mapping=mapping, **options)


def compare_tokens(ours: CellTokens, values: np.ndarray, loop: list[list[int]]) -> int:
    r"""Returns the number of places where tokens differ though their values do not.

    Raises:
        ValueError: If a cell has other tokens, or tokens in an order that their values do not have.
    """
    tokens, other = ours.tokens.numpy(), np.concatenate(loop)
    cell = np.repeat(np.arange(ours.num_cells), ours.lengths.numpy())
    if [len(part) for part in loop] != ours.lengths.tolist():
        raise ValueError(f"'{LOOP}' and '{OURS}' give cells of different lengths")
    order, other_order = np.lexsort((tokens, cell)), np.lexsort((other, cell))
    if not np.array_equal(tokens[order], other[other_order]):
        raise ValueError(f"'{LOOP}' and '{OURS}' find different genes in a cell")
    other_values = np.empty_like(values)
    other_values[other_order] = values[order]
    wrong = ~np.isclose(other_values, values, rtol=TOLERANCE, atol=0)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(
            f"'{LOOP}' and '{OURS}' differ in cell {cell[first]}: token {other[first]} of value "
            f"{other_values[first]} where ours has {tokens[first]} of value {values[first]}"
        )
    return int((tokens != other).sum())


def tokenize_synthetic(args: argparse.Namespace) -> dict:
    r"""Tokenises generated counts once; `peak_mib` is above the counts, `process_mib` is everything."""
    num_cells, num_genes = args.synthetic
    counts = synthetic_counts(num_cells, num_genes, _detected(args), args.seed)
    medians = np.random.default_rng(args.seed).gamma(2.0, 1.0, size=num_genes) + 0.1
    names = [f"GENE{i}" for i in range(num_genes)]
    vocab = GeneVocab(
        {name: 2 + i for i, name in enumerate(names)}, dict(zip(names, medians, strict=True))
    )
    adata = AnnData(counts)
    adata.var_names = names
    tokenizer = RankValueTokenizer(vocab, args.max_length)
    made: list[CellTokens] = []
    measured = measure_peak(lambda: made.append(tokenizer(adata)))
    return {
        "median_s": measured["seconds"],
        "peak_mib": measured["peak_mib"],
        "process_mib": _process_peak() / 2**20,
        "counts": counts.nnz,
        "tokens": made[0].tokens.numel(),
        "repeats": 1,
    }


def _detected(args: argparse.Namespace) -> float:
    return args.synthetic[1] / 4 if args.detected is None else args.detected


def _process_peak() -> int:
    try:
        text = Path("/proc/self/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1024
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def run(argv: list[str]) -> list[dict]:
    args = parser().parse_args(argv)
    if args.max_length < 1:
        raise ValueError(f"--max-length must be at least 1, got {args.max_length}")
    if args.data is None and args.synthetic is None:
        raise ValueError("Nothing to tokenise: pass --data FILE.h5ad --vocab DIR or --synthetic")
    if args.child and args.child[0] == "synthetic":
        if args.threads is not None:
            torch.set_num_threads(args.threads)
        print(json.dumps(tokenize_synthetic(args)))
        return []

    rows: list[dict] = []
    if args.data is not None:
        comparison = Comparison(args)
        args.cells = args.cells or [comparison.adata.n_obs]
        extras = {
            "genes": len(comparison.mapping.token_ids),
            "max_length": args.max_length,
            "map_s": comparison.map_seconds,
        }
        rows += run_script(
            __file__,
            argv,
            args,
            comparison.build,
            ["tokenize"],
            [LOOP, OURS],
            baselines=[LOOP],
            check=comparison.check,
            growth=1.0,
            extras=extras,
        )
    if args.synthetic is not None and not args.child:
        num_cells, num_genes = args.synthetic
        row = {"case": "synthetic", "side": OURS, "cells": num_cells, "genes": num_genes}
        row |= {"detected": _detected(args), "median_s": None, "peak_mib": None}
        child = [*argv, "--child", "synthetic", OURS, str(num_cells)]
        row |= run_in_child(__file__, child, 60 + 2 * args.seconds)
        print(rows_table([row]))
        if "process_mib" in row:
            print(f"The whole process, with {row['counts']:,} counts: {row['process_mib']:,.0f} MiB")
        rows.append(row)
        if args.json is not None:
            write_rows(args.json, rows)
    return rows


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return exit_status(lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
