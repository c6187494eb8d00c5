"""Make the model that ships in the package (`stofm_pyg/pretrained/generated-tissue`): the preset
`small` fitted to the three slices of `generate_tissue()`, with the tissue domains it finds in them.

    python tools/make_shipped_model.py

To be run again when the recipe or the format of saved models changes. One thread and one seed, so that
it ends with the same weights on the same kind of machine. Refused where it takes a megabyte or more, or
where it tells the domains of further slices of that tissue no better than the same model untrained.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from anndata import AnnData
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stofm_pyg import SToFM
from stofm_pyg.datasets import generate_tissue
from stofm_pyg.models import ModelCard
from stofm_pyg.nn import start_local

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "stofm_pyg" / "pretrained" / "generated-tissue"
NUM_SLICES, NUM_FRESH, NUM_DOMAINS = 3, 3, 6
LIMIT = 1_000_000  # bytes
CARD = ModelCard(
    title="generated-tissue",
    data="The three slices of `stofm_pyg.datasets.generate_tissue()`: generated, of no organism.",
    license="mit",
    limits="It knows the generated genes alone, and is of no use on real slices: it is there to try "
    "commands and code a minute after installing.",
)


def make(preset: str) -> SToFM:
    """Fit the model."""
    tissue = generate_tissue(NUM_SLICES)
    model = SToFM.fit(tissue, preset=preset, seed=0, device="cpu", num_workers=0)
    model.fitted_to = {"slices": NUM_SLICES, "cells": tissue.n_obs}
    model.domains(tissue, n=NUM_DOMAINS)
    return model


def fresh_slices(cells_per_slice: int = 1000) -> AnnData:
    """Slices of the same tissue that the model was not fitted to."""
    tissue = generate_tissue(NUM_SLICES + NUM_FRESH, cells_per_slice)
    return tissue[tissue.obs["slice"].cat.codes.to_numpy() >= NUM_SLICES].copy()


def untrained(model: SToFM, seed: int) -> SToFM:
    """The same model with the weights that it might have begun with."""
    model = copy.deepcopy(model)
    torch.manual_seed(seed)
    model.reset_parameters()
    start_local(model.encoder, model.settings.radius)
    return model


def macro_f1(model: SToFM, tissue: AnnData) -> float:
    """How well a logistic regression on frozen embeddings tells the domains of a slice that it has not
    seen; the mean over slices, each held out in turn."""
    z, domain = model.embed_anndata(tissue).numpy(), tissue.obs["domain"].to_numpy()
    of_slice, scores = tissue.obs["slice"].to_numpy(), []
    for name in np.unique(of_slice):
        held_out = of_slice == name
        head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
        head.fit(z[~held_out], domain[~held_out])
        scores.append(f1_score(domain[held_out], head.predict(z[held_out]), average="macro"))
    return float(np.mean(scores))


def size_of(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(arguments: list[str] | None = None) -> int:
    """Run the script; returns the exit status."""
    parser = argparse.ArgumentParser(description="Make the model that ships in the package.")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="where it goes")
    parser.add_argument("--preset", default="small", help="the preset of the fit")
    parser.add_argument("--measure", action="store_true", help="of the model that is there, make none")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    start = time.monotonic()
    model = SToFM.from_pretrained(args.out) if args.measure else make(args.preset)
    tissue = fresh_slices()
    score, control = macro_f1(model, tissue), macro_f1(untrained(model, seed=0), tissue)
    print(f"macro-F1 of domains on further slices: {score:.3f}, untrained {control:.3f}")
    if score <= control:
        print("the model learned nothing: not written", file=sys.stderr)
        return 1
    where = "macro-F1 of domains on further slices of the tissue, each held out in turn"
    card = replace(CARD, metrics={where: f"{score:.3f}", f"{where}; untrained": f"{control:.3f}"})
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, card=card)
        size = size_of(Path(folder))
    if size >= LIMIT:
        print(f"the model takes {size} bytes, {LIMIT} are the limit: not written", file=sys.stderr)
        return 1
    model.save_pretrained(args.out, card=card)
    print(f"{args.out}: {size} bytes, {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
