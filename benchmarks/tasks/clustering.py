r"""Clustering without labels: how well clusters of an embedding agree with domains or cell types."""

import logging
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_samples

from benchmarks.clusters import embedding_graph, leiden_of_number, nearest_rows, stable_leiden
from benchmarks.mixing import ilisi
from benchmarks.rows import Row
from benchmarks.splits import cell_labels, check_labels
from benchmarks.tasks.task import Task
from benchmarks.umap_picture import draw_umap
from stofm_pyg._threads import one_thread
from stofm_pyg.data.slices.files import opened_anndata
from stofm_pyg.nn.node_type import cell_mask
from stofm_pyg.plot import plot_domains
from stofm_pyg.transforms.neighbors import nearest_neighbors

log = logging.getLogger(__name__)

LABELS = ("domain", "cell_type")
# Of so many cells, random ones, clusters are found; the others go with the nearest of them. All pairs of
# cells are compared for the silhouette, of fewer.
MAX_CELLS, MAX_PAIRS = 20_000, 5_000
NUM_NEIGHBORS = 6


class Clustering(Task):
    r"""Clusters the cells of all slices together, without labels, and compares the clusters of each
    slice with its labels."""

    name = "clustering"
    metrics = ("ari", "nmi", "ari_stable", "ari_kmeans", "silhouette", "coherence", "ilisi")
    default_label = LABELS[0]
    draws = True

    def __init__(self, args: Namespace):
        super().__init__(args)
        if args.label is None and args.data:
            columns = set()
            for file in args.data:
                with opened_anndata(file) as adata:
                    columns |= set(adata.obs)
            there = [label for label in LABELS if label in columns]
            self.label = there[0] if there else self.label

    def prepare(self):
        super().prepare()
        slices = self.data.slices
        check_labels(slices, self.label, self.data.classes)
        if len(slices) == 1:
            self.metrics = tuple(metric for metric in self.metrics if metric != "ilisi")

    def notes(self) -> str:
        mixing = ""
        if "ilisi" in self.metrics:
            mixing = " iLISI: how well slices mix around a cell, 0 for not at all, 1 for evenly."
        return (
            f"Clusters of all slices together, from embeddings as they are, scored on each slice "
            f"against `{self.label}`. ARI and NMI: Leiden communities, as many as there are classes; "
            f"stable number: as many as several seeds find again. Silhouette: of the labels. "
            f"Coherence: the share of a cell's {NUM_NEIGHBORS} nearest neighbours in space that are in "
            f"its cluster.{mixing}"
        )

    def run_row(self, row: Row, seed: int) -> dict[str, Any]:
        result: dict[str, Any] = {"seconds": {"embed": 0.0, "cluster": 0.0}}
        parts = self.embed(row, seed, result)
        before = time.perf_counter()
        x = np.concatenate(parts).astype(np.float64)
        truth = np.concatenate([cell_labels(item, self.label) for item in self.data.slices])
        batch = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        number = len(np.unique(truth[truth >= 0]))
        with one_thread():
            found = self.clusters(x, number, seed)
        made = {"ilisi": None, "silhouette": _silhouette(x, truth, seed)}
        if "ilisi" in self.metrics:
            # Of slices of different sizes, too, one is the most that there can be.
            made["ilisi"] = (ilisi(x, batch) - 1) / (len(parts) - 1)
        scores = {}
        for i, item in enumerate(self.data.slices):
            rows = batch == i
            known = rows & (truth >= 0)
            if known.any():
                scores[item.name] = self.score(item, truth, found, made, rows, known)
        result["seconds"]["cluster"] = time.perf_counter() - before
        extras = {
            "classes": number,
            "clusters": int(found["leiden"].max()) + 1,
            "stable_clusters": int(found["stable"].max()) + 1,
            "agreement": found["agreement"],
        }
        drawn = {"x": x, "batch": batch, "truth": truth, "leiden": found["leiden"]}
        return result | {"scores": scores, "extras": extras, "drawn": drawn}

    def clusters(self, x: np.ndarray, number: int, seed: int) -> dict[str, Any]:
        r"""The clusters of cells :math:`(N)`, by the names of the ways."""
        chosen = np.arange(len(x))
        if len(x) > MAX_CELLS:
            rng = np.random.default_rng(seed)
            chosen = np.sort(rng.choice(len(x), MAX_CELLS, replace=False))
        graph = embedding_graph(x[chosen])
        stable = stable_leiden(graph, seed)
        found = {"leiden": leiden_of_number(graph, number, seed), "stable": stable.clusters}
        means = KMeans(number, n_init=10, random_state=seed).fit(x[chosen])
        found["kmeans"] = means.predict(x)
        if len(chosen) < len(x):
            near = nearest_rows(x, 1, among=x[chosen])[:, 0]
            found |= {way: found[way][near] for way in ("leiden", "stable")}
        return found | {"agreement": stable.agreement}

    def score(self, item, truth, found, made, rows, known) -> dict[str, float]:
        r"""The metrics of one slice, of which some cells have a known label."""
        near = nearest_neighbors(item.pos[cell_mask(item)], NUM_NEIGHBORS).numpy()
        mine = found["leiden"][rows]
        # Not all cells have a silhouette; those of which it was not taken are NaN.
        width = made["silhouette"][known]
        out = {
            "ari": adjusted_rand_score(truth[known], found["leiden"][known]),
            "nmi": normalized_mutual_info_score(truth[known], found["leiden"][known]),
            "ari_stable": adjusted_rand_score(truth[known], found["stable"][known]),
            "ari_kmeans": adjusted_rand_score(truth[known], found["kmeans"][known]),
            "silhouette": np.nanmean(width) if np.isfinite(width).any() else 0.0,
            "coherence": (mine[near] == mine[:, None]).mean(),
        }
        if made["ilisi"] is not None:
            out["ilisi"] = made["ilisi"][rows].mean()
        return {metric: float(value) for metric, value in out.items()}

    def draw(self, name: str, result: dict[str, Any], folder: Path):
        data, drawn = self.data, result["drawn"]
        classes = [str(number) for number in range(int(drawn["leiden"].max()) + 1)]
        slices = [
            {
                "name": item.name,
                "pos": item.pos[cell_mask(item)].numpy(),
                "prediction": drawn["leiden"][drawn["batch"] == i],
                "classes": classes,
            }
            for i, item in enumerate(data.slices)
        ]
        plot_domains(slices, folder / f"{name}-clusters.png")
        panels = {
            self.label: (drawn["truth"], data.classes),
            "slice": (drawn["batch"], [item.name for item in data.slices]),
            "cluster": (drawn["leiden"], classes),
        }
        draw_umap(drawn["x"], panels, folder / f"{name}-umap.png")


def _silhouette(x: np.ndarray, truth: np.ndarray, seed: int) -> np.ndarray:
    # Of the labels of cells, NaN where it was not taken.
    out = np.full(len(x), np.nan)
    rows = np.flatnonzero(truth >= 0)
    if len(rows) > MAX_PAIRS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MAX_PAIRS, replace=False))
    if 1 < len(np.unique(truth[rows])) < len(rows):
        out[rows] = silhouette_samples(x[rows], truth[rows])
    return out
