r"""Speed and memory of the cell encoder against the official loop over padded batches:
`python benchmarks/speed/cell_encoder.py --data FILE.h5ad --vocab DIR [--cells N] [--json FILE]`.

The first cells of a slice, in the shape of Geneformer V1 (6 layers, width 256, 4 heads), random weights.
Tokens are made before. Outputs are compared before anything is timed.
"""

import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.speed.harness import Benchmark  # noqa: E402
from stofm_pyg.data import CellTokens, GeneVocab, RankValueTokenizer, open_anndata  # noqa: E402
from stofm_pyg.models import CellEncoder  # noqa: E402

OFFICIAL, OURS, BATCH_SIZE = "official", "stofm_pyg", 32
LARGEST_ERROR = {"cpu": 1e-5, "cuda": 1e-4}  # Sums of a GPU come in other orders.


class CellEncoderBenchmark(Benchmark):
    r"""One encoder, run in two ways."""

    cases, sides, baselines = ("encode",), (OFFICIAL, OURS), (OFFICIAL,)
    options = {
        "data": {"required": True, "metavar": "FILE.h5ad", "help": "a slice of raw counts"},
        "vocab": {"required": True, "metavar": "DIR", "help": "the vocabulary of Geneformer"},
    }

    def __init__(self, args):
        super().__init__(args)
        adata, wanted = open_anndata(args.data), max(args.cells)
        if adata.n_obs < wanted:
            raise ValueError(f"--data {args.data} has {adata.n_obs} cells, fewer than --cells {wanted}")
        vocab = GeneVocab.from_geneformer(args.vocab)
        self.cells: CellTokens = RankValueTokenizer(vocab)(adata[:wanted].to_memory())
        torch.manual_seed(args.seed)
        self.encoder = CellEncoder(len(vocab)).to(self.device).eval()

    def build(self, case, side, cells):
        encode = partial(encode_padded, self.encoder) if side == OFFICIAL else self.encoder.encode
        return partial(encode, self.cells[:cells])

    def check(self, case, cells, calls):
        error = float((calls[OURS]() - calls[OFFICIAL]()).abs().max()) if len(calls) == 2 else 0.0
        if not error <= LARGEST_ERROR[self.device.type]:
            raise ValueError(
                f"'{OURS}' differs from '{OFFICIAL}' by {error:.1e} at {cells:,} cells; more than "
                f"{LARGEST_ERROR[self.device.type]:g} is an error, so times would mean nothing"
            )
        return {OURS: {"max_abs_error": error}}


@torch.no_grad()
def encode_padded(encoder: CellEncoder, tokens: CellTokens) -> Tensor:
    r"""Embeds cells in the way of the official code: batches of 32 in file order, padded to the longest
    cell of the batch, with an attention mask, through the BERT of transformers."""
    out, device = [], encoder.proj.weight.device
    for start in range(0, len(tokens), BATCH_SIZE):
        cells = [tokens[i].long() for i in range(start, min(start + BATCH_SIZE, len(tokens)))]
        mask = pad_sequence([torch.ones_like(cell) for cell in cells], batch_first=True).to(device)
        states = encoder.bert(pad_sequence(cells, batch_first=True).to(device), mask).last_hidden_state
        out.append(torch.nn.functional.normalize(encoder.proj(states[:, 0]), dim=-1))
    return torch.cat(out).cpu()


if __name__ == "__main__":
    sys.exit(CellEncoderBenchmark.main())
