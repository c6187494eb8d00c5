import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import BenchmarkData
from benchmarks.evaluator import Evaluator
from benchmarks.head import predict_folds
from benchmarks.rows import Row
from benchmarks.splits import Fold, cell_labels, check_labels, make_folds
from benchmarks.tasks.task import Task
from stofm_pyg.nn import NodeType
from stofm_pyg.plot import plot_confusion, plot_domains, plot_truth_and_prediction

SPLIT_NOTES = {
    "within": "A random 8:2 split of each slice. The neighbours of a test cell are in training, so "
    "position alone (`coordinates`) does well: this split says little about the tissue.",
    "blocks": "Contiguous regions of each slice held out, in five folds.",
    "cross": "Each slice held out in turn. The methods see its cells, never its labels.",
}


class Classification(Task):
    r"""A head on frozen embeddings names the class of each cell; see :class:`Evaluator` for its metrics
    and :meth:`make_folds` for the splits."""

    metrics = Evaluator.metrics
    has_splits = True

    def __init__(self, args: Namespace):
        super().__init__(args)
        self.split: str | None = None

    def prepare(self):
        super().prepare()
        args, slices = self.args, self.data.slices
        labelled = sum((cell_labels(item, self.label) >= 0).any() for item in slices)
        self.split = args.split or ("cross" if labelled > 1 else "blocks")
        check_labels(slices, self.label, self.data.classes)
        make_folds(self.split, slices, self.label, args.seed)
        if args.unseen and self.split != "cross":
            raise ValueError(
                f"--unseen keeps test slices out; it goes with --split cross, not {self.split}"
            )
        self.draws = self.split != "cross"

    def settings(self) -> dict[str, Any]:
        return {"split": self.split}

    def notes(self) -> str:
        return f"Split `{self.split}`. {SPLIT_NOTES[self.split]}"

    def run_row(self, row: Row, seed: int) -> dict[str, Any]:
        slices = self.data.slices
        folds = make_folds(self.split, slices, self.label, seed)
        predictions = [np.full(cell_labels(item, self.label).size, -1) for item in slices]
        result: dict[str, Any] = {"seconds": {"embed": 0.0, "head": 0.0}}
        for group in [[fold] for fold in folds] if row.unseen else [folds]:
            found = self._predict(row, seed, result, group)
            for number, part in enumerate(found):
                predictions[number][part >= 0] = part[part >= 0]
        return result | scored(self.data, self.label, predictions)

    def _predict(self, row: Row, seed: int, result: dict[str, Any], folds: list[Fold]):
        without, before = folds[0].slice if row.unseen else None, time.perf_counter()
        if hasattr(row.method, "predict"):  # It has a head of its own.
            found = row.method.predict(self.data, folds, seed, without)
            result["info"] = row.method.info
        else:
            x, before = self.embed(row, seed, result, without), time.perf_counter()
            found = predict_folds(self.data.slices, self.label, x, folds, self.data.classes)
        result["seconds"]["head"] += time.perf_counter() - before
        return found

    def draw(self, name: str, result: dict[str, Any], folder: Path):
        data = self.data
        drawn = [
            {
                "name": item.name,
                "pos": item.pos[item.node_type == NodeType.CELL].numpy(),
                "truth": cell_labels(item, self.label),
                "prediction": prediction,
                "classes": data.classes,
            }
            for item, prediction in zip(data.slices, result["drawn"], strict=True)
        ]
        plot_truth_and_prediction(drawn, folder / f"{name}-truth-and-prediction.png")
        confusion = np.array(result["extras"]["confusion"])
        plot_confusion(confusion, data.classes, folder / f"{name}-confusion.png")
        plot_domains(drawn, folder / f"{name}-domains.png")


def scored(data: BenchmarkData, label: str, predictions: list[np.ndarray]) -> dict[str, Any]:
    r"""Scores predicted classes of the cells of each slice :math:`(N)`, -1 where none was asked for."""
    evaluator, scores = Evaluator(data.classes), {}
    confusion = np.zeros((len(data.classes), len(data.classes)), dtype=int)
    for item, prediction in zip(data.slices, predictions, strict=True):
        asked = prediction >= 0
        if asked.any():
            truth = cell_labels(item, label)[asked]
            scores[item.name] = evaluator.eval(truth, prediction[asked])
            confusion += evaluator.confusion(truth, prediction[asked])
    extras = {"confusion": confusion.tolist(), "class_f1": evaluator.class_f1(confusion)}
    return {"scores": scores, "extras": extras, "drawn": predictions}
