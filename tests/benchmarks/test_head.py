import logging

import numpy as np
import torch
from torch_geometric.data import Data

from benchmarks.head import predict_folds
from benchmarks.splits import Fold

CLASSES = ["left", "right", "top"]


def make_slice(labels, name):
    data = Data(domain=torch.tensor(labels), num_nodes=len(labels))
    data.node_type = torch.zeros(len(labels), dtype=torch.uint8)
    data.name = name
    return data


def test_learns_from_training_cells_and_predicts_test_cells_only():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    embedding = labels[:, None] * 4 + rng.normal(size=(60, 3))
    slices = [make_slice(labels[:40].tolist(), "a"), make_slice(labels[40:].tolist(), "b")]
    folds = [Fold(1, {0: np.arange(40)}, np.arange(0, 20, 2))]
    prediction = predict_folds(slices, "domain", [embedding[:40], embedding[40:]], folds, CLASSES)
    assert (prediction[0] == -1).all()
    assert (prediction[1][1::2] == -1).all()
    assert (prediction[1][::2] == labels[40::2]).all()


def test_labels_of_test_cells_are_never_seen():
    rng = np.random.default_rng(0)
    embedding = rng.normal(size=(50, 3))
    labels = rng.integers(0, 2, 50)
    folds = [Fold(0, {0: np.arange(30)}, np.arange(30, 50))]
    hidden = labels.copy()
    hidden[30:] = 1 - hidden[30:]
    first, second = (
        predict_folds([make_slice(y.tolist(), "a")], "domain", [embedding], folds, CLASSES)[0]
        for y in (labels, hidden)
    )
    assert (first == second).all()


def test_a_class_absent_from_training_is_a_warning(caplog):
    slices = [make_slice([0, 1, 0, 1, 2], "first slice")]
    folds = [Fold(0, {0: np.arange(4)}, np.array([4]))]
    with caplog.at_level(logging.WARNING):
        prediction = predict_folds(slices, "domain", [np.eye(5)], folds, CLASSES)
    assert "first slice's fold has 'top'" in caplog.text
    assert prediction[0][4] in (0, 1)


def test_a_single_training_class_is_the_answer():
    slices = [make_slice([1, 1, 0], "a")]
    folds = [Fold(0, {0: np.arange(2)}, np.array([2]))]
    prediction = predict_folds(slices, "domain", [np.eye(3)], folds, CLASSES)
    assert prediction[0].tolist() == [-1, -1, 1]
