import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from stofm_pyg.data.slices.labels import class_names, encode_labels, prediction_column


def encode(values, **kwargs):
    codes, classes = encode_labels(pd.DataFrame({"label": values}), "label", **kwargs)
    assert codes["label"].dtype == np.int64
    return codes["label"].tolist(), classes["label"]


NAMES = st.sampled_from(["L1", "L2/3", "WM", "0", "nano", "Zellkörper"])


@given(st.lists(st.none() | NAMES, min_size=1), st.booleans(), st.sampled_from([None, np.nan, pd.NA]))
def test_maps_back_exactly(values, categorical, missing):
    column = pd.Series([missing if value is None else value for value in values], dtype=object)
    codes, classes = encode(column.astype("category") if categorical else column)
    assert [None if code < 0 else classes[code] for code in codes] == values
    assert classes == sorted(set(values) - {None})


def test_categories_keep_their_order_used_or_not():
    values = pd.Categorical(["b", None, "a"], categories=["b", "unused", "a"])
    assert encode(values) == ([0, -1, 2], ["b", "unused", "a"])


@pytest.mark.parametrize(
    "values, expected",
    [
        ([10, 9, 10], ([1, 0, 1], ["9", "10"])),
        ([10.0, np.nan, 9.0], ([1, -1, 0], ["9", "10"])),
        ([True, False, True], ([1, 0, 1], ["False", "True"])),
        (pd.array([2, None, 1], dtype="Int64"), ([1, -1, 0], ["1", "2"])),
        (pd.array([True, None, False], dtype="boolean"), ([1, -1, 0], ["False", "True"])),
        (pd.array(["b", None, "a"], dtype="string"), ([1, -1, 0], ["a", "b"])),
        ([np.nan, np.nan], ([-1, -1], [])),
        (["one", "one"], ([0, 0], ["one"])),
        (pd.Categorical([1, "1", 2]), ([0, 0, 1], ["1", "2"])),
    ],
)
def test_types(values, expected):
    assert encode(values) == expected


@pytest.mark.parametrize("bad", [0.5, np.inf])
def test_measurement_is_no_class(bad):
    with pytest.raises(ValueError, match=f"'label' holds {bad}, a measurement.*astype"):
        encode([1.0, np.nan, bad])


def test_given_classes():
    assert encode(["b", None, "a"], classes={"label": ["c", "b", "a"]}) == (
        [1, -1, 2],
        ["c", "b", "a"],
    )
    assert encode(["b"], classes={"other": ["c"]}) == ([0], ["b"])
    with pytest.raises(ValueError, match=r"holds 'b', which is not among the given classes \['a'\]"):
        encode(["a", "b"], classes={"label": ["a"]})


def test_several_columns_and_none():
    obs = pd.DataFrame({"a": ["x", "y"], "b": [1, 1]})
    codes, classes = encode_labels(obs, ["b", "a"])
    assert list(codes) == ["b", "a"] and classes == {"b": ["1"], "a": ["x", "y"]}
    assert encode_labels(obs, ()) == encode_labels(obs, None) == ({}, {})


def test_unknown_column():
    with pytest.raises(ValueError, match="'domian' is not in 'adata.obs'.*mean 'domain'"):
        encode_labels(pd.DataFrame({"domain": ["a"]}), "domian")


@pytest.mark.parametrize(
    "name",
    ["x", "pos", "cluster", "cell_id", "classes", "batch", "sample_batch", "gene_index"]
    + ["edge_zone", "_hidden", "num_nodes", "to", "keys", "name", "ptr", "face", "mask"],
)
def test_reserved_names(name):
    with pytest.raises(ValueError, match=f"label '{name}' has a name that .*labels='label'"):
        encode_labels(pd.DataFrame({name: ["a"]}), name)


@pytest.mark.parametrize("name", ["y", "domain", "cell_type", "Cell Type", "leiden_0.5", "region"])
def test_other_names_survive_a_batch(name):
    codes, _ = encode_labels(pd.DataFrame({name: ["a", "b", None]}), name)
    data = Data(num_nodes=3)
    data[name] = torch.from_numpy(codes[name])
    batch = Batch.from_data_list([data, data])
    assert batch[name].tolist() == [0, 1, -1, 0, 1, -1]
    assert data.is_node_attr(name)


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


@pytest.mark.parametrize(
    "values, expected, told",
    [
        ([2, -1, 0, -1], ([1, -1, 0, -1], ["0", "2"]), ", for which '-1' stand"),
        ([2.0, -1.0, np.nan], ([0, -1, -1], ["2"]), ", for which '-1' stand"),
        (pd.array([2, -1, None], dtype="Int64"), ([0, -1, -1], ["2"]), ", for which '-1' stand"),
        (pd.Categorical([3, -1, 4]), ([0, -1, 1], ["3", "4"]), ", for which '-1' stand"),
        (["b", "nan", "a", ""], ([1, -1, 0, -1], ["a", "b"]), ", for which '', 'nan' stand"),
        (["b", "NA", None, "<NA>"], ([0, -1, -1, -1], ["b"]), ", for which '<NA>', 'NA' stand"),
        (pd.Categorical(["b", "None", "a"], ["b", "None", "NaN", "a"]), ([0, -1, 1], ["b", "a"]),
         ", for which 'None' stand"),
        (pd.array(["b", " ", None], dtype="string"), ([0, -1, -1], ["b"]), ", for which ' ' stand"),
        (["b", None, "a"], ([1, -1, 0], ["a", "b"]), ""),
        (["-1.0", "1.0"], ([-1, 0], ["1.0"]), ", for which '-1.0' stand"),
        (["nan", "nan"], ([-1, -1], []), ", for which 'nan' stand"),
    ],
)
def test_values_that_are_none_are_unknown_and_said_once(caplog, values, expected, told):
    caplog.set_level("INFO")
    assert encode(values) == expected
    unknown = expected[0].count(-1)
    assert caplog.messages == [f"{unknown} of {len(values)} cells have no known 'label'{told}"]
    assert caplog.records[0].levelname == ("WARNING" if told else "INFO")
    caplog.clear()
    assert encode(values, log=False) == expected and not caplog.messages


def test_nothing_is_said_where_all_are_known(caplog):
    caplog.set_level("INFO")
    encode(["a", "b"])
    assert not caplog.messages


def test_classes_that_are_given_are_classes():
    given = {"label": ["NA", "nan", "-1"]}
    assert encode(["nan", "NA", None], classes=given) == ([1, 0, -1], given["label"])
    assert encode([-1], classes=given) == ([2], given["label"])
    assert encode(["nan", "a"], classes={"label": ["a"]}) == ([-1, 0], ["a"])


def test_a_label_that_is_there_twice_is_refused():
    table = pd.DataFrame([["a", "b"]], columns=["kind", "kind"])
    with pytest.raises(ValueError, match="2 columns of 'adata.obs' are called 'kind'"):
        encode_labels(table, "kind")


def test_classes_of_one_name_are_refused():
    with pytest.raises(ValueError, match="'classes' of 'label' name 'a' twice"):
        encode(["a", "b"], classes={"label": ["a", "b", "a"]})
