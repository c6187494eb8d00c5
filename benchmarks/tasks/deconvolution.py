r"""Deconvolution: a head on frozen embeddings of spots tells what share of them each cell type has."""

import argparse
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.correlation import pearson_columns
from benchmarks.fold_scores import known_means, scores_of_slices
from benchmarks.maps import draw_maps
from benchmarks.profiles import nearest_profile, nnls_proportions, reference_profiles
from benchmarks.proportion_evaluator import ProportionEvaluator
from benchmarks.proportion_head import ProportionHead
from benchmarks.reference_spots import ReferenceSpots, reference_spots
from benchmarks.rows import Row
from benchmarks.splits import Fold
from benchmarks.spot_data import SpotData, binned_spots
from benchmarks.spots import GRIDS
from benchmarks.tasks.task import Task
from stofm_pyg.nn.node_type import cell_mask

# Of binned slices as many as Visium's spots hold, of a reference about as many as those of ST.
CELLS_PER_SPOT, CELLS_PER_SIMULATED_SPOT = 5.0, 20
NUM_DRAWN = 3
NOTES = {
    "binned": "Spots are sums of single cells on a {grid} grid, {cells:g} of a known type on average; "
    "split `{split}`, of spots. `nnls` and `nearest-profile` see the single cells of the training spots "
    "and no mixture; `mean` says the mean of the training spots. The other rows: a softmax regression "
    "from the embedding of spots to their mixtures. A slice of several folds has their mean.",
    "reference": "Nobody knows the mixtures of the real spots. Heads are trained on spots simulated of "
    "{cells:g} reference cells, on the positions of each real slice. `pearson`, `rmse` and "
    "`jensen_shannon` are of a further simulated slice, of reference cells that no other slice has. "
    "`agree_markers` and `agree_nnls` are of the real spots, and no accuracies: how the predicted "
    "shares correlate with the expression of marker genes chosen on the reference, and with "
    "non-negative least squares (1 for the row `nnls`, by definition).",
}


@dataclass
class Guess:
    r"""A row that needs no embedding: what tells proportions from the counts of spots and profiles, or,
    where there is no such thing, the mean of the training spots.

    Args:
        guess (callable, optional): See :meth:`nnls_proportions`. (default: :obj:`None`)
    """

    guess: Callable | None = None
    learns = False


class Deconvolution(Task):
    r"""Tells the proportions of cell types in spots; see :class:`ProportionEvaluator` for the metrics.

    Without a reference, the slices are of single cells, and :meth:`bin_cells` sums them up to spots of
    known mixtures. Each method embeds the spots of all slices without these; one :class:`ProportionHead`
    learns on training spots and is tested on held-out ones.

    With :obj:`--reference`, the slices are of real spots. Features of simulated spots must be comparable
    to theirs, and a method that looks at the tissue needs places. So the simulated spots are slices of
    their own, over the genes that both share: on the positions of a real slice, with mixtures that vary
    smoothly over it, and as deep as its spots. All slices are embedded together, like slices of several
    sources; what the technologies differ in is left to the method, and the features of SToFM and of the
    baselines are centred in each slice. Nothing about the real mixtures is known, so the scores of a
    real slice are those of its simulated counterpart and, named as such, two agreements."""

    name = "deconvolution"
    metrics = ProportionEvaluator.metrics
    lower = ProportionEvaluator.lower
    default_label = "cell_type"
    has_splits = True

    def __init__(self, args: Namespace):
        super().__init__(args)
        self.split: str | None = None
        self.spots: SpotData | None = None
        self.reference = getattr(args, "reference", None)
        self.cells_per_spot = getattr(args, "cells_per_spot", None)
        if self.cells_per_spot is None:
            binned = self.reference is None
            self.cells_per_spot = CELLS_PER_SPOT if binned else CELLS_PER_SIMULATED_SPOT
        self.grid = getattr(args, "grid", None) or GRIDS[0]

    @classmethod
    def add_arguments(cls, group: argparse._ArgumentGroup):
        group.add_argument(
            "--reference", metavar="FILE.h5ad",
            help="single cells with their types; --data are then real spots of unknown mixtures",
        )  # fmt: skip
        group.add_argument(
            "--cells-per-spot", type=float, metavar="N",
            help=f"how many cells make a spot on average (default: {CELLS_PER_SPOT:g}, of a reference "
            f"{CELLS_PER_SIMULATED_SPOT})",
        )  # fmt: skip
        group.add_argument("--grid", choices=GRIDS, help=f"how spots lie (default: {GRIDS[0]})")

    def prepare(self):
        args = self.args
        if args.unseen and (args.split not in (None, "cross") or self.reference):
            other = "--reference" if self.reference else f"--split {args.split}"
            raise ValueError(f"--unseen keeps test slices out; it goes with --split cross, not {other}")
        if self.reference is None:
            self.spots = binned_spots(self.read_data(), self.cells_per_spot, self.grid)
            self.split = args.split or ("cross" if len(self.spots.truth) > 1 else "blocks")
        else:
            self._prepare_reference()
        self.data = self.spots.data
        self.spots.folds(self.split, args.seed)  # What cannot be split fails before any work.
        self.draws = self.split in ("blocks", "within")

    def _prepare_reference(self):
        args = self.args
        if not args.data:
            raise ValueError("--reference goes with --data, the slices of spots that it is for")
        if args.split is not None:
            raise ValueError(
                f"--split {args.split} divides spots of known mixtures; with --reference there are none"
            )
        if self.cells_per_spot < 1:
            raise ValueError(f"--cells-per-spot must be at least 1 (got {self.cells_per_spot:g})")
        label, self.label = self.label, None
        spots = self.read_data()
        self.label = label
        number = round(self.cells_per_spot)
        self.spots = reference_spots(spots, self.reference, label, args.layer, number)
        self.metrics = (*ProportionEvaluator.metrics, "agree_markers", "agree_nnls")

    def rows(self) -> dict[str, Row]:
        guesses = {"nnls": nnls_proportions, "nearest-profile": nearest_profile, "mean": None}
        own = {
            name: Row(Guess(guess), seeded=False, settings={"method": name})
            for name, guess in guesses.items()
        }
        return super().rows() | own

    def settings(self) -> dict[str, Any]:
        out = {"split": self.split, "cells_per_spot": self.cells_per_spot}
        out["reference" if self.reference else "grid"] = self.reference or self.grid
        return out

    def notes(self) -> str:
        kind = "binned" if self.reference is None else "reference"
        return NOTES[kind].format(grid=self.grid, cells=self.cells_per_spot, split=self.split)

    def run_row(self, row: Row, seed: int) -> dict[str, Any]:
        folds = self.spots.folds(self.split, seed)
        predictions = [np.full(truth.shape, np.nan) for truth in self.spots.truth]
        result: dict[str, Any] = {"seconds": {"embed": 0.0, "head": 0.0}}
        guesses = isinstance(row.method, Guess)
        for group in [[fold] for fold in folds] if row.unseen else [folds]:
            x = None
            if not guesses:
                x = self.embed(row, seed, result, group[0].slice if row.unseen else None)
            before = time.perf_counter()
            for fold in group:
                made = self._guess(row.method, fold) if guesses else self._predict(x, fold)
                predictions[fold.slice][fold.test] = made
            result["seconds"]["head"] += time.perf_counter() - before
        return result | self._scored(predictions, folds)

    def _predict(self, x: list[np.ndarray], fold: Fold) -> np.ndarray:
        z = np.concatenate([x[number][rows] for number, rows in fold.train.items()])
        return ProportionHead().fit(z, self._mixtures(fold)).predict(x[fold.slice][fold.test])

    def _guess(self, method: Guess, fold: Fold) -> np.ndarray:
        if method.guess is None:
            return np.tile(self._mixtures(fold).mean(axis=0), (fold.test.size, 1))
        profiles = reference_profiles(*self.spots.cells(fold.train), len(self.spots.classes))
        return method.guess(self.spots.counts[fold.slice][fold.test], profiles)

    def _mixtures(self, fold: Fold) -> np.ndarray:
        return np.concatenate([self.spots.truth[number][rows] for number, rows in fold.train.items()])

    def _scored(self, predictions: list[np.ndarray], folds: list[Fold]) -> dict[str, Any]:
        spots, names = self.spots, [item.name for item in self.data.slices]
        evaluator, of_class = ProportionEvaluator(spots.classes), []

        def score(fold: Fold) -> dict[str, float]:
            pair = spots.truth[fold.slice][fold.test], predictions[fold.slice][fold.test]
            of_class.append(evaluator.per_class(*pair))
            return evaluator.eval(*pair)

        known = [fold for fold in folds if np.isfinite(spots.truth[fold.slice]).all()]
        scores = scores_of_slices(known, names, score)
        if isinstance(spots, ReferenceSpots):
            scores = {
                names[real]: scores[names[simulated]] | self._agreements(predictions, real)
                for real, simulated in zip(spots.real, spots.testing, strict=True)
            }
        extras = {"class_pearson": known_means(of_class)}
        return {"scores": scores, "extras": extras, "drawn": predictions}

    def _agreements(self, predictions: list[np.ndarray], number: int) -> dict[str, float]:
        spots, made = self.spots, predictions[number]
        profiles = reference_profiles(*spots.trained, len(spots.classes))
        same = pearson_columns(nnls_proportions(spots.counts[number], profiles), made)
        return {
            "agree_markers": spots.marker_agreement(number, made),
            "agree_nnls": float(np.nanmean(same)) if not np.isnan(same).all() else 0.0,
        }

    def draw(self, name: str, result: dict[str, Any], folder: Path):
        spots = self.spots
        truth, made = spots.truth[0], result["drawn"][0]
        known = truth if np.isfinite(truth).all() else made
        common = np.argsort(-np.nan_to_num(known).sum(axis=0), kind="stable")[:NUM_DRAWN]
        columns = {}
        for code in common:
            maps = {} if known is made else {"truth": truth[:, code]}
            columns[spots.classes[code]] = maps | {"prediction": made[:, code]}
        item = self.data.slices[0]
        draw_maps(item.pos[cell_mask(item)].numpy(), columns, folder / f"{name}-proportions.png")
