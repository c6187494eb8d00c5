r"""Speed and memory of the cell encoder against the official loop over padded batches:
`python benchmarks/speed/cell_encoder.py --data FILE.h5ad --vocab DIR [--json FILE]`.

The first cells of a slice, in the shape of Geneformer V1 (6 layers, width 256, 4 heads), random weights.
Tokens are made before. Outputs are compared before anything is timed.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.device import find_device  # noqa: E402
from benchmarks.speed.harness import add_options, exit_status, run_script  # noqa: E402
from benchmarks.speed.padded_cells import PaddedCells  # noqa: E402
from stofm_pyg.data import CellTokens, GeneVocab, RankValueTokenizer, open_anndata  # noqa: E402
from stofm_pyg.models.cell_encoder.model import CellEncoder  # noqa: E402

CELLS = (1000,)
CASE, OFFICIAL, OURS = "encode", "official", "stofm_pyg"
# Rounding alone; bfloat16, which a GPU is given, has 8 bits.
LARGEST_ERROR = {"cpu": 1e-5, "cuda": 2e-2}


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(out, CELLS)
    add = out.add_argument
    add("--data", required=True, metavar="FILE.h5ad", help="a slice of raw counts")
    add("--vocab", required=True, metavar="DIR", help="the vocabulary of Geneformer")
    add("--layers", type=int, default=6, help="of the encoder (default: 6)")
    add("--heads", type=int, default=4, help="attention heads (default: 4)")
    add("--channels", type=int, default=256, help="width of all layers (default: 256)")
    add("--token-budget", type=int, help="tokens of a batch (default: as the device suits)")
    return out


class Comparison:
    r"""Builds the sides for the harness and compares what they give."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.device = find_device(args.device)
        adata, wanted = open_anndata(args.data), max(args.cells)
        if adata.n_obs < wanted:
            raise ValueError(f"--data {args.data} has {adata.n_obs} cells, fewer than {wanted}")
        self.vocab = GeneVocab.from_geneformer(args.vocab)
        self.cells: CellTokens = RankValueTokenizer(self.vocab)(adata[:wanted].to_memory())

    @cached_property
    def encoder(self) -> CellEncoder:
        r"""Random weights, with biases and scales that differ from those of a new model."""
        args = self.args
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(args.seed)
            encoder = CellEncoder(
                len(self.vocab), args.channels, args.layers, args.heads, 2 * args.channels
            )
            with torch.no_grad():
                for weight in encoder.parameters():
                    if weight.dim() == 1:
                        weight.add_(0.1 * torch.randn_like(weight))
        return encoder.to(self.device).eval()

    def build(self, case: str, side: str, cells: int) -> Callable[[], object]:
        r"""Prepares one side."""
        tokens = self.cells[:cells]
        if side == OFFICIAL:
            return PaddedCells(self.encoder, tokens)
        encoder, budget = self.encoder, self.args.token_budget
        return lambda: encoder.encode(tokens, budget)

    def check(self, case: str, cells: int, runs: Mapping[str, Callable]) -> dict[str, dict]:
        r"""Compares the embeddings of both sides.

        Raises:
            ValueError: If they differ by more than rounding.
        """
        lengths = self.cells[:cells].lengths
        added = {name: {"tokens": int(lengths.sum()), "padding": 0.0} for name in runs}
        if OFFICIAL in runs:
            added[OFFICIAL]["padding"] = runs[OFFICIAL].padding()
        if len(runs) == 2:
            error = float((runs[OURS]() - runs[OFFICIAL]()).abs().max())
            print(f"{cells:,} cells, {OURS} against {OFFICIAL}: {error:.1e}", flush=True)
            if not error <= LARGEST_ERROR[self.device.type]:
                raise ValueError(
                    f"The embeddings of '{OURS}' differ from those of '{OFFICIAL}' by {error:.1e} at "
                    f"{cells:,} cells; more than {LARGEST_ERROR[self.device.type]:g} is an error, so "
                    f"times would mean nothing"
                )
            added[OURS]["max_abs_error"] = error
        return added


def run(argv: list[str]) -> list[dict]:
    args = parser().parse_args(argv)
    comparison = Comparison(args)
    return run_script(
        __file__,
        argv,
        args,
        comparison.build,
        (CASE,),
        (OFFICIAL, OURS),
        baselines=(OFFICIAL,),
        check=comparison.check,
        growth=1.0,
        extras={"layers": args.layers, "channels": args.channels},
    )


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return exit_status(lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
