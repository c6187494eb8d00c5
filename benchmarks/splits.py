r"""How labelled cells are divided into training and test cells."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch_geometric.data import Data

from stofm_pyg.loader import SpatialClusterData
from stofm_pyg.nn import NodeType

SPLITS = ("within", "blocks", "cross")
NUM_FOLDS = 5
BLOCKS_PER_FOLD = 4


@dataclass
class Fold:
    r"""Test cells of one slice and the cells to train on, as rows of each slice's cells.

    Args:
        slice (int): The slice of the test cells.
        train (dict[int, np.ndarray]): The training rows by slice.
        test (np.ndarray): The test rows of :obj:`slice`.
    """

    slice: int
    train: dict[int, np.ndarray]
    test: np.ndarray


def make_folds(split: str, slices: Sequence[Data], label: str, seed: int) -> list[Fold]:
    r"""Divides the labelled cells of slices.

    Args:
        split (str): :obj:`"within"`, a random 8:2 split of each slice as in the SToFM paper;
            :obj:`"blocks"`, contiguous regions of each slice held out in five folds; or
            :obj:`"cross"`, each slice held out in turn.
        slices (sequence of Data): The slices.
        label (str): The key of the labels; -1 is unknown.
        seed (int): The seed of the random split and of the choice of regions.

    Raises:
        ValueError: The split is unknown, or a slice has too few cells for it.
    """
    labelled = [np.flatnonzero(cell_labels(data, label) >= 0) for data in slices]
    labelled = {i: rows for i, rows in enumerate(labelled) if rows.size > 0}
    if split == "cross":
        if len(labelled) < 2:
            raise ValueError(
                f"--split cross needs at least two slices with '{label}' labels (got {len(labelled)}); "
                f"use --split blocks, or give more slices"
            )
        return [
            Fold(i, {j: rows for j, rows in labelled.items() if j != i}, test)
            for i, test in labelled.items()
        ]
    if split == "within":
        folds = [_random_fold(i, rows, seed) for i, rows in labelled.items()]
        return _with_training(folds, split, slices, label)
    if split == "blocks":
        folds = [
            fold for i, rows in labelled.items() for fold in _block_folds(i, slices[i], rows, seed)
        ]
        return _with_training(folds, split, slices, label)
    raise ValueError(f"Unknown split '{split}'; known: {', '.join(SPLITS)}")


def _with_training(folds: list[Fold], split: str, slices: Sequence[Data], label: str) -> list[Fold]:
    for fold in folds:
        if fold.train[fold.slice].size == 0:
            name, number = slices[fold.slice].get("name") or str(fold.slice), fold.test.size
            raise ValueError(
                f"--split {split} leaves no cell to train on in slice '{name}', which has {number} "
                f"cells with '{label}' labels, all in one part; leave it out, or use --split cross"
            )
    return folds


def cell_labels(data: Data, label: str) -> np.ndarray:
    r"""The labels of the cells of a slice :math:`(N)`, without its virtual cells."""
    return data[label][data.node_type == NodeType.CELL].numpy()


def check_labels(slices: Sequence[Data], label: str, classes: Sequence[str]):
    r"""Raises if there are not two classes to tell apart, or hardly a cell to learn each from."""
    labels = np.concatenate([cell_labels(data, label) for data in slices])
    present, count = np.unique(labels[labels >= 0], return_counts=True)
    if present.size < 2:
        found = ", ".join(f"'{classes[c]}'" for c in present) or "no known label"
        raise ValueError(f"--label {label} needs at least two classes (found {found})")
    if 2 * (count == 1).sum() > present.size:
        raise ValueError(
            f"--label {label} has {present.size:,} classes for {count.sum():,} cells, most of one cell: "
            f"it names cells rather than what they have in common; choose another column of obs"
        )


def _random_fold(which: int, rows: np.ndarray, seed: int) -> Fold:
    order = np.random.default_rng([seed, which]).permutation(rows)
    cut = max(1, round(0.2 * rows.size))
    return Fold(which, {which: np.sort(order[cut:])}, np.sort(order[:cut]))


def _block_folds(which: int, data: Data, rows: np.ndarray, seed: int) -> list[Fold]:
    cells = _numbered(data)
    parts = SpatialClusterData(
        cells, num_parts=NUM_FOLDS * BLOCKS_PER_FOLD, method="metis", seed=seed
    )
    block = np.empty(cells.num_nodes, dtype=np.int64)
    for number, part in enumerate(parts):
        block[part.row.numpy()] = number
    if len(parts) < NUM_FOLDS:  # On a tiny slice, where nearly all are neighbours, METIS cuts nothing.
        block = _stripes(cells.pos)
    # Every fold gets as many blocks, at random places, so that few domains fall into one fold.
    fold_of_block = np.random.default_rng([seed, which]).permutation(block.max() + 1) % NUM_FOLDS
    fold = fold_of_block[block[rows]]
    return [Fold(which, {which: rows[fold != k]}, rows[fold == k]) for k in np.unique(fold)]


def _stripes(pos: torch.Tensor) -> np.ndarray:
    # As many as folds, across the longest direction of the slice.
    pos = pos.double() - pos.double().mean(dim=0)
    _, vectors = torch.linalg.eigh(pos.T @ pos)
    stripe = np.empty(len(pos), dtype=np.int64)
    order = (pos @ vectors[:, -1]).argsort(stable=True).numpy()
    for number, rows in enumerate(np.array_split(order, min(NUM_FOLDS, len(order)))):
        stripe[rows] = number
    return stripe


def _numbered(data: Data) -> Data:
    cells = data.subgraph(data.node_type == NodeType.CELL)
    return Data(
        row=torch.arange(cells.num_nodes),
        pos=cells.pos,
        edge_index=cells.edge_index,
        edge_attr=cells.edge_attr,
        num_nodes=cells.num_nodes,
    )
