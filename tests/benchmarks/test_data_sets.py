from pathlib import Path

import pytest

from benchmarks import data_sets as module
from benchmarks.data_sets import DataSet, data_sets, label_of, read_data_sets
from benchmarks.tasks import TASKS
from tests.benchmarks.task_case import make_args


@pytest.fixture
def folder(tmp_path):
    for name in ("a.h5ad", "b.h5ad", "cells.h5ad"):
        (tmp_path / name).touch()
    return tmp_path


def write(folder, text):
    path = folder / "sets.yaml"
    path.write_text(text)
    return path


def test_files_are_one_data_set(folder):
    files = [str(folder / "a.h5ad"), str(folder / "b.h5ad")]
    assert data_sets(files) == [DataSet("data", tuple(files))]
    assert data_sets(None) == [DataSet("generated")]


def test_a_yaml_file_of_several(folder):
    path = write(
        folder,
        "brain:\n  files: [a.h5ad, b.h5ad]\n  label: layer\n  tasks: [segmentation]\n"
        "tumour: {files: a.h5ad, reference: cells.h5ad, slice_key: section, layer: counts,\n"
        "         split: blocks, label: {annotation: type, clustering: region}}\n",
    )
    first, second = data_sets([str(path)])
    assert first.files == (str(folder / "a.h5ad"), str(folder / "b.h5ad"))
    assert (first.name, first.label, first.tasks) == ("brain", "layer", ("segmentation",))
    assert second.reference == str(folder / "cells.h5ad") and second.files == (str(folder / "a.h5ad"),)
    out = Path("out")
    made = second.args_of(make_args(None, task="all", unseen=True, split="cross"), "annotation", out)
    assert (made.task, made.out, made.label, made.split) == ("annotation", out, "type", "blocks")
    assert (made.slice_key, made.layer, made.data, made.unseen) == (
        "section",
        "counts",
        list(second.files),
        True,
    )
    assert made.reference is None
    assert (
        second.args_of(make_args(None, task="all"), "deconvolution", out).reference == second.reference
    )
    made = second.args_of(make_args(None, task="all", unseen=True), "clustering", out)
    assert (made.label, made.split, made.unseen) == ("region", None, False)
    made = first.args_of(make_args(None, task="segmentation", label="other"), "segmentation", out)
    assert made.label == "layer" and made.slice_key == "slice"


def test_whose_label_it_is():
    labels = {
        task: label_of("cell_type", task, True) for task in ("segmentation", "annotation", "clustering")
    }
    assert labels == {"segmentation": None, "annotation": "cell_type", "clustering": "cell_type"}
    labels = {
        task: label_of("layer", task, True) for task in ("segmentation", "annotation", "clustering")
    }
    assert labels == {"segmentation": "layer", "annotation": None, "clustering": "layer"}
    assert (
        label_of("layer", "annotation", False) == "layer" and label_of(None, "annotation", True) is None
    )
    assert label_of({"annotation": "type"}, "segmentation", True) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("brain: {file: [a.h5ad]}", "unknown key 'file'; did you mean 'files'"),
        ("brain: {label: layer}", "names no files"),
        ("brain: {files: 3}", "'files' takes a list of names"),
        ("brain: {files: [a.h5ad], tasks: [segmentatoin]}", "'segmentatoin: .*' is no label of a task"),
        ("brain: {files: [a.h5ad], label: {segmentation: 3}}", "'segmentation: 3' is no label"),
        ("brain: {files: [a.h5ad], layer: [x]}", "'layer' takes a name"),
        ("brain: a.h5ad", "needs keys of its own"),
        ("../brain: {files: [a.h5ad]}", "a name that no folder can have"),
        ("- a.h5ad", "holds no data sets"),
        ("brain: {files: [", "is no YAML"),
        ("brain: !!python/object/apply:os.getcwd []", "is no YAML"),
    ],
)
def test_what_is_wrong_in_a_yaml_file_is_said(folder, text, message):
    with pytest.raises(ValueError, match=message):
        read_data_sets(write(folder, text))


def test_files_elsewhere_and_some_data_sets(folder, tmp_path_factory):
    path = write(
        tmp_path_factory.mktemp("elsewhere"),
        "brain: {files: [a.h5ad]}\ntumour: {files: [none.h5ad], reference: cells.h5ad}\n",
    )
    (brain,) = data_sets([str(path)], folder=str(folder), only="brain")
    assert brain == DataSet("brain", (str(folder / "a.h5ad"),))
    with pytest.raises(FileNotFoundError, match="'tumour' names '.*none.h5ad'.*--data-dir .*--only"):
        data_sets([str(path)], folder=str(folder))
    with pytest.raises(ValueError, match="Unknown data set 'brian'; did you mean 'brain'"):
        data_sets([str(path)], folder=str(folder), only="brian")
    with pytest.raises(ValueError, match="Unknown data set 'brain'; known: data"):
        data_sets([str(folder / "a.h5ad")], only="brain")


def test_the_real_slices(folder):
    path = Path(module.__file__).with_name("real_slices.yaml")
    sets = read_data_sets(path, str(folder))
    assert {"starmap_mpfc", "dlpfc_3slices_7k", "st_pdac"} <= {item.name for item in sets}
    for item in sets:
        # No task goes by a default that the files may not have.
        for name in item.tasks or TASKS:
            named = item.args_of(make_args(None, task="all"), name, folder).label
            assert named or TASKS[name].default_label is None


def test_a_file_that_is_missing(folder):
    with pytest.raises(FileNotFoundError, match="Data set 'brain' names '.*none.h5ad'"):
        data_sets([str(write(folder, "brain: {files: [none.h5ad]}"))])
    with pytest.raises(FileNotFoundError, match="There is no file '.*none.yaml'"):
        data_sets([str(folder / "none.yaml")])


def test_names_of_published_data_sets(folder, monkeypatch):
    asked = []

    def download(name, root):
        asked.append((name, root))
        return folder / "a.h5ad"

    monkeypatch.setattr(module, "download_published", download)
    assert data_sets(["dlpfc"], "kept") == [DataSet("dlpfc", (str(folder / "a.h5ad"),), label="domain")]
    assert asked == [("dlpfc", "kept")]
    with pytest.raises(
        ValueError, match="'dlpcf' is no file and no published data set; did you mean 'dlpfc'"
    ):
        data_sets(["dlpcf"])
    with pytest.raises(ValueError, match="not both"):
        data_sets(["dlpfc", str(folder / "a.h5ad")])
    with pytest.raises(ValueError, match="'dlpfc' is there twice"):
        data_sets(["dlpfc", "dlpfc"])
