r"""Part 3 of the check on a GPU: the cell encoder against the official loop over padded batches."""

import sys
from functools import partial

import torch

from benchmarks.gpu.part import Part
from benchmarks.speed.cell_encoder import LARGEST_ERROR, encode_padded
from benchmarks.speed.harness import high_water, time_in_turns
from benchmarks.speed.synthetic import make_counts
from stofm_pyg.data import GeneVocab, RankValueTokenizer
from stofm_pyg.models import CellEncoder

#: The shapes of Geneformer V1 and V2 (104 million parameters).
SHAPES = {
    "V1": {},
    "V2": {"hidden_channels": 768, "num_layers": 12, "heads": 12, "ffn_channels": 3072,
           "max_length": 4096, "out_channels": 768},
}  # fmt: skip
TINY = {"hidden_channels": 16, "num_layers": 1, "heads": 2, "ffn_channels": 16, "out_channels": 8}
OFFICIAL, OURS, HALF = "official loop", "stofm_pyg", "stofm_pyg, bfloat16"
AIM = 10.0


def run(part: Part):
    r"""Measures both shapes on cells of 100 to 900 genes."""
    cells, genes, detected = (64, 60, 20) if part.smoke else (4000, 2000, 500)
    counts = make_counts(cells, genes, detected)
    vocab = GeneVocab.from_slices([counts[:1000]])
    tokens = RankValueTokenizer(vocab)(counts)
    for name, shape in SHAPES.items():
        if not part.has_time(name):
            continue
        torch.manual_seed(0)
        encoder = CellEncoder(len(vocab), **(TINY if part.smoke else shape)).to(part.device).eval()
        some = tokens[: len(tokens) // (1 if name == "V1" else 4)]
        half = CellEncoder(len(vocab), **(TINY if part.smoke else shape)).to(part.device).eval()
        half.load_state_dict(encoder.state_dict())
        calls = {
            OFFICIAL: partial(encode_padded, encoder, some),
            OURS: partial(encoder.encode, some),
            HALF: partial(half.bfloat16().encode, some),
        }
        compare(part, name, calls, len(some))


def compare(part: Part, name: str, calls: dict, cells: int):
    r"""Checks the outputs of one shape, and measures them.

    Raises:
        ValueError: The outputs differ.
    """
    rows = {}
    for side, call in calls.items():
        before = high_water(part.device, reset=True)
        out = call()
        rows[side] = {"peak_mib": high_water(part.device) - before, "out": out}
    expected = rows[OFFICIAL]["out"]
    error = float((rows[OURS]["out"] - expected).abs().max())
    if not error <= LARGEST_ERROR[part.device.type]:
        raise ValueError(f"{name}: '{OURS}' differs from '{OFFICIAL}' by {error:.1e}")
    cosine = torch.nn.functional.cosine_similarity(rows[HALF]["out"], expected, dim=1)
    times = time_in_turns(calls, 1)
    for side, row in rows.items():
        del row["out"]
        row["seconds"] = times[side]["median_s"]
        row["cells_per_second"] = cells / row["seconds"]
        ratio = rows[OFFICIAL].get("seconds", row["seconds"]) / row["seconds"]
        if side == OURS:
            met = "met" if ratio >= AIM else "missed"
            row["note"] = f"{ratio:.3g} times as fast (aim {AIM:g}: {met}); error {error:.1e}"
        elif side == HALF:
            row["note"] = f"{ratio:.3g} times as fast; smallest cosine {float(cosine.min()):.5f}"
        part.row(case=f"encode {name}", side=side, cells=cells, **row)


if __name__ == "__main__":
    sys.exit(Part.main(run))
