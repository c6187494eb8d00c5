import logging
import os

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse
from torch_geometric.data import InMemoryDataset
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import BaseTransform

from stofm_pyg.data import SliceSettings, expression_pca, slices_from_anndata
from stofm_pyg.datasets import H5adSlices
from stofm_pyg.datasets._conversion_key import conversion_key

SMALL = {"num_features": 4, "max_clusters": 3}


def make_adata(num_cells=40, num_genes=25, num_slices=2, seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(1.0, 1.0, size=num_genes), size=(num_cells, num_genes))
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(num_cells)])
    obs["slice"] = [f"s{i % num_slices}" for i in range(num_cells)]
    obs["domain"] = np.array(["L1", "L2", None], dtype=object)[rng.integers(0, 3, size=num_cells)]
    adata = AnnData(sparse.csr_matrix(counts.astype(np.float32)), obs=obs)
    adata.var_names = [f"Gene{i}" for i in range(num_genes)]
    adata.obsm["spatial"] = rng.uniform(0, 100, size=(num_cells, 2))
    adata.obsm["X_own"] = rng.standard_normal((num_cells, 3))
    return adata


@pytest.fixture
def write(tmp_path):
    def write(name="a", **kwargs):
        adata = make_adata(**kwargs)
        path = tmp_path / f"{name}.h5ad"
        path.parent.mkdir(exist_ok=True)
        adata.write_h5ad(path)
        return path, adata

    return write


def same(first, second, but=()):
    keys = set(first.keys()) - set(but)
    assert keys == set(second.keys()) - set(but)
    for key in keys:
        one, other = first[key], second[key]
        assert one.equal(other) if isinstance(one, torch.Tensor) else one == other, key
    return True


class Shift(BaseTransform):
    """Adds a constant to the features; counts how often it runs."""

    runs = 0

    def __init__(self, by=1.0):
        self.by = by

    def forward(self, data):
        type(self).runs += 1
        data.x = data.x + self.by
        return data


@pytest.fixture(autouse=True)
def clean(tmp_path, monkeypatch):
    Shift.runs = 0
    # What is written without being asked for would be here.
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield
    assert os.listdir(tmp_path / "here") == []


@pytest.mark.parametrize("num_slices", [1, 3])
def test_one_file(write, num_slices):
    path, adata = write(num_slices=num_slices)
    dataset = H5adSlices(path, labels="domain", **SMALL)
    expected = slices_from_anndata(adata, labels="domain", **SMALL)
    assert isinstance(dataset, InMemoryDataset) and len(dataset) == num_slices
    assert repr(dataset) == ("H5adSlices()" if num_slices == 1 else "H5adSlices(3)")
    assert dataset.files == [path] and dataset.classes == {"domain": ["L1", "L2"]}
    assert dataset.num_node_features == 4
    for data, other in zip(dataset, expected, strict=True):
        same(data, other, but=["file"])
        assert data.file == str(path)
    assert sorted(os.listdir(path.parent)) == ["a.h5ad", "here"]  # Nothing was written.


def test_works_with_loader_and_index(write):
    path, _ = write(num_slices=3)
    dataset = H5adSlices(str(path), labels="domain", **SMALL)
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    assert batch.name == ["s0", "s1", "s2"]
    assert batch.domain.tolist() == [code for data in dataset for code in data.domain.tolist()]
    assert batch.cell_id[batch.cell_id >= 0].sort()[0].tolist() == list(range(40))
    assert [data.name for data in dataset[1:]] == ["s1", "s2"]


def test_transform_runs_at_each_access_and_pre_transform_once(write):
    path, adata = write()
    dataset = H5adSlices(path, transform=Shift(2.0), pre_transform=Shift(1.0), **SMALL)
    assert Shift.runs == 2
    expected = slices_from_anndata(adata, **SMALL)[0].x + 1 + 2
    for _ in range(2):
        assert torch.allclose(dataset[0].x, expected)
    assert Shift.runs == 4


def test_several_files_share_genes_components_and_classes(write):
    first_path, first = write("a", num_slices=2)
    second_path, second = write("b", num_slices=1, num_genes=30, seed=1)
    second = second[:, np.random.default_rng(0).permutation(30)].copy()  # In another order.
    second.obs["domain"] = second.obs["domain"].astype(object).replace("L1", "L0")
    second.write_h5ad(second_path)
    dataset = H5adSlices([first_path, second_path], labels=["domain"], **SMALL)

    assert [data.name for data in dataset] == ["a:s0", "a:s1", "b:s0"]
    assert [data.file for data in dataset] == [str(first_path)] * 2 + [str(second_path)]
    shared = list(first.var_names)
    counts = sparse.vstack([first.X, second[:, shared].X], format="csr")
    codes = [0, 1] * 20 + [2] * 40
    expected = torch.from_numpy(expression_pca(counts, 4, batch=np.array(codes)))
    source = {"a": first, "b": second}
    for code, data in enumerate(dataset):
        rows = data.cell_id[data.cell_id >= 0]
        assert torch.equal(data.x[: rows.numel()], expected[torch.tensor(codes) == code])
        assert data.classes == dataset.classes == {"domain": ["L0", "L1", "L2"]}
        domain = source[data.name[0]].obs["domain"].astype(object).iloc[rows.numpy()]
        found = [*data.classes["domain"], None]  # -1 is the last.
        found = [found[label] for label in data.domain[: rows.numel()].tolist()]
        assert found == [name if isinstance(name, str) else None for name in domain]


def test_categories_keep_their_order_over_files(write):
    paths = []
    for name, order in (("a", ["WM", "L1"]), ("b", ["WM", "L1", "L0"])):
        path, adata = write(name)
        adata.obs["domain"] = pd.Categorical([order[i % len(order)] for i in range(40)], order)
        adata.write_h5ad(path)
        paths.append(path)
    dataset = H5adSlices(paths, labels="domain", features="X_own", virtual_cells=False)
    assert dataset.classes == {"domain": ["WM", "L1", "L0"]}


def test_label_missing_in_one_file_is_unknown_there(write):
    (first, _), (second, adata) = write("a"), write("b")
    del adata.obs["domain"]
    adata.write_h5ad(second)
    dataset = H5adSlices([first, second], labels="domain", features="X_own", max_clusters=3)
    assert [bool((data.domain >= 0).any()) for data in dataset] == [True, True, False, False]
    for data in dataset:
        assert data.domain.shape == data.node_type.shape and data.classes == dataset.classes
    with pytest.raises(ValueError, match="'domian' is not in 'adata.obs'.*mean 'domain'"):
        H5adSlices([first, second], labels="domian")


def test_names_of_files_in_different_folders(write):
    paths = [write(name, num_slices=1)[0] for name in ("x/a", "y/a")]
    dataset = H5adSlices(paths, features="X_own", virtual_cells=False)
    assert [data.name for data in dataset] == ["x/a:s0", "y/a:s0"]


def test_file_without_slices_is_one_slice(write, caplog):
    path, adata = write("brain")
    del adata.obs["slice"]
    adata.write_h5ad(path)
    with caplog.at_level(logging.INFO):
        dataset = H5adSlices(path, **SMALL)
    assert len(dataset) == 1 and dataset[0].name == "brain"
    assert "has no column 'slice' in 'obs': it is one slice" in caplog.text
    with pytest.raises(ValueError, match="'section' is not in 'adata.obs'"):
        H5adSlices(path, slice_key="section")


def test_files_without_slices_are_called_after_them(write):
    paths = []
    for name in ("brain", "liver"):
        path, adata = write(name)
        if name == "brain":
            del adata.obs["slice"]
            adata.write_h5ad(path)
        paths.append(path)
    dataset = H5adSlices(paths, features="X_own", virtual_cells=False)
    assert [data.name for data in dataset] == ["brain", "liver:s0", "liver:s1"]
    with pytest.raises(ValueError, match="In '.*brain.h5ad': 'section' is not in 'adata.obs'"):
        H5adSlices(paths, features="X_own", slice_key="section")


def test_slice_key_none_takes_the_whole_file(write, caplog):
    path, _ = write("brain", num_slices=2)
    (data,) = H5adSlices(path, slice_key=None, virtual_cells=False, **SMALL)
    assert data.name == "brain" and data.num_nodes == 40
    assert "'adata.obs['slice']' tells 2 slices apart, which become one here" in caplog.text


def test_settings_as_one_object_or_by_name(write):
    path, _ = write()
    settings = SliceSettings(num_features=4, radius=3.0)
    one = H5adSlices(path, settings, max_clusters=3, labels="domain")
    other = H5adSlices(path, num_features=4, radius=3.0, max_clusters=3, labels="domain")
    assert one.settings == other.settings == settings.replace(max_clusters=3)
    for data, two in zip(one, other, strict=True):
        same(data, two)
        assert SliceSettings.from_json(data.settings) == one.settings


def test_root_keeps_what_was_converted(write, tmp_path):
    path, _ = write()
    root = tmp_path / "cache"
    arguments = {"root": root, "labels": "domain", "pre_transform": Shift(1.0), **SMALL}
    first = H5adSlices(path, **arguments)
    assert Shift.runs == 2
    second = H5adSlices(path, **arguments)
    assert Shift.runs == 2 and len(os.listdir(root / "processed")) == 1
    assert second.classes == first.classes
    assert all(same(one, other) for one, other in zip(first, second, strict=True))
    H5adSlices(path, **arguments, force_reload=True)
    assert Shift.runs == 4 and len(os.listdir(root / "processed")) == 1


def test_another_file_or_setting_is_converted_again(write, tmp_path):
    path, adata = write()
    root = str(tmp_path / "cache")

    def converted(**kwargs):
        before = Shift.runs
        dataset = H5adSlices(path, root=root, **{"pre_transform": Shift(1.0), **SMALL, **kwargs})
        return Shift.runs - before, dataset

    assert converted()[0] == 2
    assert converted()[0] == 0
    changes = [{"num_features": 3}, {"seed": 1}, {"radius": 2.0}, {"labels": "domain"}]
    changes += [{"features": "X_own"}, {"slice_key": None}, {"unit": "micron"}, {"alpha": 0.3}]
    changes += [{"pre_transform": Shift(2.0)}, {"classes": {"domain": ["L1", "L2", "L3"]}}]
    for change in changes:
        assert converted(**change)[0] > 0, change
        assert converted(**change)[0] == 0, change

    # One value of the file, at the same size.
    adata.obsm["spatial"][3] += 1.0
    adata.write_h5ad(path)
    runs, dataset = converted()
    assert runs == 2
    assert torch.equal(dataset[1].pos, slices_from_anndata(adata, **SMALL)[1].pos)


def test_what_is_kept_is_stale_by_version_and_settings_alone(write, tmp_path, monkeypatch):
    path, _ = write()
    known = {**SliceSettings().to_dict(), "features": "pca", "labels": (), "pre_transform": None}
    key = conversion_key([path], known)
    assert len(key) == 16 and conversion_key([path], dict(known)) == key
    # The text of the package does not matter: a docstring, or a file that moved.
    module = "stofm_pyg.data.slices.convert"
    monkeypatch.setattr(f"{module}.build_data.__doc__", "Another docstring.")
    monkeypatch.setattr(f"{module}.__file__", str(tmp_path / "elsewhere.py"))
    assert conversion_key([path], known) == key
    keys = {key}
    for name, value in {
        "slice_key": None,
        "spatial_key": "pixels",
        "layer": "raw",
        "unit": "micron",
        "microns_per_unit": 0.5,
        "radius": None,
        "max_neighbors": 3,
        "virtual_cells": False,
        "max_clusters": 7,
        "alpha": 0.3,
        "num_features": 9,
        "seed": 1,
        "features": np.ones((2, 2)),
        "labels": "domain",
        "pre_transform": Shift(2.0),
    }.items():
        keys.add(conversion_key([path], {**known, name: value}))
    assert len(keys) == 16
    monkeypatch.setattr("stofm_pyg.datasets._conversion_key.VERSION", 99)
    assert conversion_key([path], known) not in keys


def test_pre_transform_that_cannot_be_compared_is_not_kept(write, tmp_path, caplog):
    path, _ = write()
    dataset = H5adSlices(path, root=str(tmp_path / "c"), pre_transform=lambda data: data, **SMALL)
    assert len(dataset) == 2 and not (tmp_path / "c").exists()
    assert "Slices are not kept" in caplog.text


def test_damaged_cache_is_made_again(write, tmp_path, caplog):
    path, _ = write()
    arguments = {"root": str(tmp_path / "cache"), **SMALL}
    first = H5adSlices(path, **arguments)
    (cached,) = (tmp_path / "cache" / "processed").iterdir()
    whole = cached.read_bytes()
    for part in (0, 100, len(whole) - 10):
        cached.write_bytes(whole[:part])
        again = H5adSlices(path, **arguments)
        assert "cannot be read and is made again" in caplog.text
        assert all(same(one, other) for one, other in zip(first, again, strict=True))
        assert cached.stat().st_size == len(whole)
        caplog.clear()


def test_failed_write_leaves_nothing_behind(write, tmp_path, monkeypatch):
    path, _ = write()

    def full_disk(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        H5adSlices(path, root=str(tmp_path / "cache"), **SMALL)
    assert list((tmp_path / "cache" / "processed").iterdir()) == []


def test_too_few_genes_in_common(write):
    first, second = write("a")[0], write("b", num_genes=30)[0]
    adata = anndata.read_h5ad(second)
    adata.var_names = [f"ENSG{i}" if i > 2 else f"Gene{i}" for i in range(30)]
    adata.write_h5ad(second)
    with pytest.raises(ValueError) as error:
        H5adSlices([first, second])
    message = str(error.value)
    assert "3 genes in common (of a.h5ad: 25, b.h5ad: 30)" in message and "'features='" in message
    assert len(H5adSlices([first, second], features="X_own")) == 4


def test_a_small_panel_that_all_files_have_is_enough(write):
    paths = [write(name, num_genes=10, seed=seed)[0] for seed, name in enumerate("ab")]
    assert H5adSlices(paths, **SMALL)[0].num_features == 4


def test_gene_names_that_repeat(write):
    first, second = write("a")[0], write("b")[0]
    adata = anndata.read_h5ad(second)
    adata.var_names = ["Gene0"] * 2 + [f"Gene{i}" for i in range(2, 25)]
    adata.write_h5ad(second)
    with pytest.raises(ValueError, match="b.h5ad' has the gene 'Gene0' more than once"):
        H5adSlices([first, second])


def test_errors_name_the_file(write, tmp_path):
    first, (second, adata) = write("a")[0], write("b")
    adata.X.data[3] = 0.5
    adata.write_h5ad(second)
    with pytest.raises(ValueError, match="In '.*b.h5ad': Expected counts in 'adata.X'"):
        H5adSlices([first, second])

    adata.obsm["X_own"] = np.ones((40, 7))
    adata.write_h5ad(second)
    with pytest.raises(ValueError, match="'X_own' have different widths: .*b.h5ad': 7"):
        H5adSlices([first, second], features="X_own")

    second.write_bytes(second.read_bytes()[:2000])
    with pytest.raises(ValueError, match="b.h5ad' .2,000 bytes. cannot be read"):
        H5adSlices([first, second])
    with pytest.raises(FileNotFoundError, match="c.h5ad"):
        H5adSlices([first, tmp_path / "c.h5ad"], root=str(tmp_path / "cache"))


def test_wrong_arguments(write):
    path, _ = write()
    with pytest.raises(ValueError, match="'files' is empty"):
        H5adSlices([])
    with pytest.raises(ValueError, match="a.h5ad' is in 'files' twice"):
        H5adSlices([path, str(path)])
    with pytest.raises(TypeError, match="'num_feature' of a slice; did you mean 'num_features'"):
        H5adSlices(path, num_feature=3)
    with pytest.raises(ValueError, match="array as 'features' for 2 files"):
        H5adSlices([path, write("b")[0]], features=np.ones((40, 2)))


@pytest.mark.realdata
def test_real_slices(real_slices):
    path = real_slices / "starmap_mpfc.h5ad"
    dataset = H5adSlices(path, labels=["domain", "cell_type"])
    assert len(dataset) == 3 and dataset.num_node_features == 50
    assert [len(names) for names in dataset.classes.values()] == [4, 15]
    rows = torch.cat([data.cell_id[data.cell_id >= 0] for data in dataset])
    assert rows.sort()[0].tolist() == list(range(3190))
