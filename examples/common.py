r"""What the examples share: their arguments, slices, and the score of an embedding."""

import argparse

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch_geometric.data import Data

from stofm_pyg.data import slices_from_anndata
from stofm_pyg.datasets import SyntheticTissue


def arguments(description: str, argv: list[str] | None = None, epochs: int = 50, **more):
    r"""Reads the arguments that all examples take, and :obj:`more` of their own (name=default)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", metavar="FILE.h5ad", help="default: generated tissue")
    parser.add_argument("--label", default="domain", help="obs column to score by (default: domain)")
    parser.add_argument("--slice-key", default="slice", help="obs column of the slices (default: slice)")
    parser.add_argument("--cells", type=int, default=1000, help="cells of a generated slice")
    parser.add_argument("--epochs", type=int, default=epochs, help=f"passes (default: {epochs})")
    parser.add_argument("--seed", type=int, default=0)
    for name, default in more.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"default: {default}")
    args = parser.parse_args(argv)
    torch.manual_seed(args.seed)
    return args


def load_slices(args, radius: float = 3.0, **changes) -> list[Data]:
    r"""Slices of the file or, without one, of generated tissue; cells are joined up to a radius, in
    units of their median spacing."""
    changes = {"radius": radius, "virtual_cells": False, **changes}
    if args.data:
        return slices_from_anndata(args.data, labels=args.label, slice_key=args.slice_key, **changes)
    return list(SyntheticTissue(cells_per_slice=args.cells, seed=args.seed, **changes))


def domain_f1(slices: list[Data], embeddings: list[Tensor], label: str = "domain") -> float:
    r"""Macro-F1 of a logistic regression on frozen embeddings: each slice is held out in turn, or, of
    a single one, its right half."""
    x = [z.detach().cpu().numpy() for z in embeddings]
    y = [data[label].numpy() for data in slices]
    if len(slices) == 1:
        right = (slices[0].pos[:, 0] > slices[0].pos[:, 0].median()).numpy()
        x, y = [x[0][right], x[0][~right]], [y[0][right], y[0][~right]]
        return _f1(x[1:], y[1:], x[0], y[0])
    scores = [
        _f1(x[:i] + x[i + 1 :], y[:i] + y[i + 1 :], x[i], y[i]) for i in range(len(x))
    ]
    return float(np.mean(scores))


def _f1(x: list[np.ndarray], y: list[np.ndarray], x_test: np.ndarray, y_test: np.ndarray) -> float:
    x, y = np.concatenate(x), np.concatenate(y)
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(x[y >= 0], y[y >= 0])
    known = y_test >= 0
    return float(f1_score(y_test[known], head.predict(x_test[known]), average="macro"))
