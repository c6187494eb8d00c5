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
        return [_random_fold(i, rows, seed) for i, rows in labelled.items()]
    if split == "blocks":
        return [
            fold for i, rows in labelled.items() for fold in _block_folds(i, slices[i], rows, seed)
        ]
    raise ValueError(f"Unknown split '{split}'; known: {', '.join(SPLITS)}")


def cell_labels(data: Data, label: str) -> np.ndarray:
    r"""The labels of the cells of a slice :math:`(N)`, without its virtual cells."""
    return data[label][data.node_type == NodeType.CELL].numpy()


def _random_fold(which: int, rows: np.ndarray, seed: int) -> Fold:
    order = np.random.default_rng([seed, which]).permutation(rows)
    cut = max(1, round(0.2 * rows.size))
    return Fold(which, {which: np.sort(order[cut:])}, np.sort(order[:cut]))


def _block_folds(which: int, data: Data, rows: np.ndarray, seed: int) -> list[Fold]:
    parts = SpatialClusterData(
        _numbered(data), num_parts=NUM_FOLDS * BLOCKS_PER_FOLD, method="metis", seed=seed
    )
    block = np.empty(int((data.node_type == NodeType.CELL).sum()), dtype=np.int64)
    for number, part in enumerate(parts):
        block[part.row.numpy()] = number
    # Every fold gets as many blocks, at random places, so that few domains fall into one fold.
    fold_of_block = np.random.default_rng([seed, which]).permutation(len(parts)) % NUM_FOLDS
    fold = fold_of_block[block[rows]]
    return [Fold(which, {which: rows[fold != k]}, rows[fold == k]) for k in np.unique(fold)]


def _numbered(data: Data) -> Data:
    cells = data.subgraph(data.node_type == NodeType.CELL)
    return Data(
        row=torch.arange(cells.num_nodes),
        pos=cells.pos,
        edge_index=cells.edge_index,
        edge_attr=cells.edge_attr,
        num_nodes=cells.num_nodes,
    )
