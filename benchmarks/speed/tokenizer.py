r"""Speed and memory of the rank-value tokenizer against a loop over cells as in Geneformer and SToFM:
`python benchmarks/speed/tokenizer.py --data FILE.h5ad --vocab DIR [--json FILE]`, or of ours alone on
generated counts, a quarter of the genes in a cell: `--synthetic CELLS GENES`.

Both sides start from counts in memory and columns that are matched to genes already; ours checks the
counts too. Tokens are compared before anything is timed. `process_mib` is all that the process held.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
from anndata import AnnData
from scipy import sparse

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.speed.harness import Benchmark, num  # noqa: E402
from benchmarks.speed.synthetic import make_counts  # noqa: E402
from stofm_pyg.data import GeneMapping, GeneVocab, RankValueTokenizer, open_anndata  # noqa: E402

LOOP, OURS = "loop", "stofm_pyg"
TOLERANCE = 1e-5  # Of a value: the official code scales counts in float32.


class TokenizerBenchmark(Benchmark):
    r"""The loop and ours on the same counts, or ours alone on generated ones."""

    cases, sides, baselines, columns = ("tokenize",), (LOOP, OURS), (LOOP,), ("process_mib",)
    options = {
        "cells": {"nargs": "+", "type": int, "metavar": "N", "help": "the first N (default: all)"},
        "data": {"metavar": "FILE.h5ad", "help": "raw counts"},
        "vocab": {"metavar": "DIR", "help": "directory with the vocabulary of Geneformer"},
        "synthetic": {"nargs": 2, "type": int, "metavar": ("CELLS", "GENES"), "help": "generated"},
        "max_length": num(2048, "tokens of a cell at most"),
    }

    def __init__(self, args):
        if args.synthetic:
            cells, genes = args.synthetic
            self.adata, self.sides = make_counts(cells, genes, genes // 4, args.seed), (OURS,)
            self.vocab = GeneVocab.from_slices([self.adata[:1000]])
        elif args.data and args.vocab:
            self.adata = open_anndata(args.data)[:].to_memory()
            self.vocab = GeneVocab.from_geneformer(args.vocab)
        else:
            raise ValueError("Nothing to tokenise: pass --data FILE and --vocab DIR, or --synthetic")
        args.cells = args.cells or [self.adata.n_obs]
        super().__init__(args)
        if max(args.cells) > self.adata.n_obs:
            raise ValueError(f"--cells {max(args.cells)} are not there: give up to {self.adata.n_obs}")
        self.mapping = self.vocab.map(self.adata)

    def build(self, case, side, cells):
        adata, length = self.adata, self.args.max_length
        adata = adata if cells == adata.n_obs else adata[:cells].copy()
        if side == LOOP:
            return partial(tokenize_loop, adata, self.mapping, self.vocab.cls_token_id, length)
        return partial(RankValueTokenizer(self.vocab, length), adata, mapping=self.mapping)

    def check(self, case, cells, calls):
        if LOOP not in calls:
            return {}
        adata, everything = self.adata[:cells], self.adata.n_vars + 1
        tokenizer = RankValueTokenizer(self.vocab, everything)
        ours, values = tokenizer(adata, mapping=self.mapping, return_values=True)
        loop = tokenize_loop(adata, self.mapping, self.vocab.cls_token_id, everything)
        return {OURS: {"tokens": len(values), "differing": compare_tokens(ours, values.numpy(), loop)}}


def tokenize_loop(adata: AnnData, mapping: GeneMapping, cls: int, length: int) -> list[list[int]]:
    r"""Tokenises cell by cell, in the steps of `tokenize_cell` in Geneformer and those around it in
    SToFM, whose preprocessing makes the columns with genes dense, and whose collator puts CLS before the
    tokens of a cell, which are a list by then."""
    counts = sparse.csr_matrix(adata.X)
    totals = np.asarray(counts.sum(axis=1)).reshape(-1)
    totals[totals == 0] = 1.0  # The official code divides by zero here.
    medians, tokens = mapping.medians[mapping.gene], mapping.token_ids[mapping.gene]
    values = counts[:, mapping.columns].toarray().T / totals * 10_000 / medians[:, None]
    out = []
    for cell in range(counts.shape[0]):
        expressed = np.nonzero(values[:, cell])[0]
        ranked = tokens[expressed][np.argsort(-values[expressed, cell])]
        out.append(([cls] + ranked.tolist())[:length])
    return out


def compare_tokens(ours, values: np.ndarray, loop: list[list[int]]) -> int:
    r"""Returns the number of places where tokens differ though their values do not; raises if a cell has
    other tokens, or tokens in an order that their values do not have."""
    differing = 0
    for cell, (start, end) in enumerate(zip(ours.ptr[:-1], ours.ptr[1:], strict=True)):
        mine, other = ours.tokens[start:end].tolist(), loop[cell]
        value = dict(zip(mine, values[start:end], strict=True))
        if sorted(mine) != sorted(other):
            raise ValueError(f"'{LOOP}' and '{OURS}' find other genes in cell {cell}: {other}, {mine}")
        if not np.allclose([value[token] for token in other], values[start:end], TOLERANCE, 0):
            raise ValueError(f"'{LOOP}' and '{OURS}' rank others in cell {cell}: {other}, {mine}")
        differing += sum(a != b for a, b in zip(mine, other, strict=True))
    return differing


if __name__ == "__main__":
    sys.exit(TokenizerBenchmark.main())
