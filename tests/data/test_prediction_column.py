import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from stofm_pyg.data.prediction_column import class_names, prediction_column


def test_column():
    values = [torch.tensor([1, -1]), torch.tensor([0], dtype=torch.uint8)]
    column = prediction_column(values, np.array([3, 0, 1]), 5, ["b", "a"])
    assert list(column.categories) == ["b", "a"]
    assert column.codes.tolist() == [-1, 0, -1, 1, -1]


def test_numbers_where_there_are_no_names():
    column = prediction_column([torch.tensor([2, 0])], np.array([0, 1]), 2, None)
    assert column.tolist() == ["2", "0"] and list(column.categories) == ["0", "1", "2"]


@pytest.mark.parametrize("wrong", [2, -2])
def test_no_such_class(wrong):
    with pytest.raises(ValueError, match=rf"holds class {wrong}, but there are 2 .*\['b', 'a'\]"):
        prediction_column([torch.tensor([wrong])], np.array([0]), 1, ["b", "a"])


@pytest.mark.parametrize("scores", [torch.rand(3, 4), torch.rand(3)])
def test_scores_are_no_classes(scores):
    with pytest.raises(ValueError, match=r"one class number per cell.*argmax\(dim=-1\)"):
        prediction_column([scores], np.arange(3), 3, None)


def test_class_names():
    both = Data(classes={"domain": ["a", "b"], "type": ["c"]})
    assert class_names([both, both], "type") == ["c"]
    assert class_names([Data(classes={"domain": ["a"]})]) == ["a"]
    assert class_names([Data(), Data(classes={})]) is None
    with pytest.raises(ValueError, match=r"\['domain', 'type'\]: name the predicted one"):
        class_names([both])
    with pytest.raises(ValueError, match="'Domain' is not in 'data.classes'.*mean 'domain'"):
        class_names([both], "Domain")
    with pytest.raises(ValueError, match="not have the same classes of 'domain'"):
        class_names([both, Data(classes={"domain": ["b", "a"]})], "domain")
