r"""Imputation: a head on frozen embeddings predicts the expression of genes that no method has seen."""

import argparse
import time
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.expression_evaluator import ExpressionEvaluator
from benchmarks.fold_scores import known_means, scores_of_slices
from benchmarks.held_out_genes import HeldOutGenes, hold_out_genes
from benchmarks.imputation_baselines import BASELINES
from benchmarks.maps import draw_maps
from benchmarks.rows import Row, with_unseen
from benchmarks.splits import Fold
from benchmarks.tasks.task import Task
from stofm_pyg.nn.node_type import cell_mask

SHARE = 0.2
# Penalties of the head; leave-one-out on the training cells chooses.
PENALTIES = np.logspace(0, 5, 11)
NUM_DRAWN = 3
NOTES = (
    "{number} of {total} genes (`--genes {share:g}`) were taken out of the input of all rows. A ridge "
    "regression on the embedding learns their log-normalised expression from training cells; scores are "
    "correlations over the test cells of a fold, a gene at a time, mean and median over genes. Split "
    "`{split}`. Rows without an embedding: the mean of the 15 training cells that are nearest in the "
    "expression of the other genes, or in space (in a slice without training cells there are none), and "
    "of all training cells, which tells no cell from another (0)."
)


@dataclass
class Baseline:
    r"""A row of :obj:`BASELINES`.

    Args:
        name (str): Its name there.
    """

    name: str

    @property
    def learns(self) -> bool:
        r"""Whether there is anything to be learned from the slices as a whole."""
        return self.name == "expression-neighbours"


class Imputation(Task):
    r"""Predicts the expression of held-out genes; see :class:`ExpressionEvaluator` for the metrics.

    The genes are the same for all rows and seeds, drawn with :obj:`--seed`. What is left of the slices
    holds no trace of them: embeddings that a file holds, say, are not at hand here.
    """

    name = "imputation"
    metrics = ExpressionEvaluator.metrics
    lower = ExpressionEvaluator.lower
    has_splits = True

    def __init__(self, args: Namespace):
        super().__init__(args)
        self.label = None  # All cells are scored, whatever they are.
        self.share = getattr(args, "genes", SHARE)
        self.split: str | None = None
        self.held_out: HeldOutGenes | None = None

    @classmethod
    def add_arguments(cls, group: argparse._ArgumentGroup):
        group.add_argument(
            "--genes", type=float, default=SHARE, metavar="SHARE",
            help=f"the share of genes to hold out and predict (default: {SHARE})",
        )  # fmt: skip

    def prepare(self):
        args = self.args
        self.held_out = hold_out_genes(self.read_data(), self.share)
        self.data = self.held_out.data
        self.split = args.split or ("cross" if len(self.data.slices) > 1 else "blocks")
        if args.unseen and self.split != "cross":
            raise ValueError(
                f"--unseen keeps test slices out; it goes with --split cross, not {self.split}"
            )
        self.held_out.folds(self.split, args.seed)  # What cannot be split fails before any work.
        self.draws = self.split != "cross"

    def rows(self) -> dict[str, Row]:
        own = {n: Row(Baseline(n), seeded=False, settings={"method": n}) for n in BASELINES}
        return super().rows() | (with_unseen(own) if self.args.unseen else own)

    def settings(self) -> dict[str, Any]:
        return {"split": self.split, "genes": self.share, "held_out": self.held_out.genes}

    def notes(self) -> str:
        number = len(self.held_out.genes)
        total = number + len(self.data.counts()[1])
        return NOTES.format(number=number, total=total, share=self.share, split=self.split)

    def run_row(self, row: Row, seed: int) -> dict[str, Any]:
        held_out = self.held_out
        folds = held_out.folds(self.split, seed)
        predictions = [np.full(truth.shape, np.nan) for truth in held_out.truth]
        result: dict[str, Any] = {"seconds": {"embed": 0.0, "head": 0.0}}
        baseline = isinstance(row.method, Baseline)
        for group in [[fold] for fold in folds] if row.unseen else [folds]:
            without = group[0].slice if row.unseen else None
            x = None if baseline else self.embed(row, seed, result, without)
            before = time.perf_counter()
            for fold in group:
                if baseline:
                    predict = BASELINES[row.method.name]
                    made = predict(self.data, fold, held_out.truth, without)
                else:
                    made = predict_expression(x, fold, held_out.truth)
                predictions[fold.slice][fold.test] = made
            result["seconds"]["head"] += time.perf_counter() - before
        return result | self._scored(predictions, folds)

    def _scored(self, predictions: list[np.ndarray], folds: list[Fold]) -> dict[str, Any]:
        evaluator, of_gene = ExpressionEvaluator(self.held_out.genes), []

        def score(fold: Fold) -> dict[str, float]:
            truth = self.held_out.truth[fold.slice][fold.test]
            pair = truth, predictions[fold.slice][fold.test]
            of_gene.append(evaluator.per_class(*pair))
            return evaluator.eval(*pair)

        scores = scores_of_slices(folds, [item.name for item in self.data.slices], score)
        extras = {"gene_pearson": known_means(of_gene)}
        return {"scores": scores, "extras": extras, "drawn": predictions}

    def draw(self, name: str, result: dict[str, Any], folder: Path):
        truth, made = self.held_out.truth[0], result["drawn"][0]
        # The same genes for every row: those that vary most.
        vary = np.argsort(-truth.std(axis=0), kind="stable")[:NUM_DRAWN]
        columns = {
            self.held_out.genes[gene]: {"truth": truth[:, gene], "prediction": made[:, gene]}
            for gene in vary
        }
        item = self.data.slices[0]
        draw_maps(item.pos[cell_mask(item)].numpy(), columns, folder / f"{name}-genes.png")


def predict_expression(x: list[np.ndarray], fold: Fold, truth: list[np.ndarray]) -> np.ndarray:
    r"""Predicts the expression of a fold's test cells by a ridge regression on its training cells.

    Args:
        x (list[np.ndarray]): The embedding of the cells of each slice :math:`(N, D)`.
        fold (Fold): The fold.
        truth (list[np.ndarray]): The expression of the genes in the cells of each slice
            :math:`(N, G)`; that of test cells is not read.
    """
    z = np.concatenate([x[number][rows] for number, rows in fold.train.items()])
    y = np.concatenate([truth[number][rows] for number, rows in fold.train.items()])
    head = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    return head.fit(z, y).predict(x[fold.slice][fold.test]).reshape(fold.test.size, -1)
