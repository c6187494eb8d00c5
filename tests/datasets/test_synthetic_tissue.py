import logging

import numpy as np
import pytest
import torch
from anndata import read_h5ad
from torch_geometric.data import InMemoryDataset
from torch_geometric.transforms import BaseTransform

from stofm_pyg.data import SliceSettings, slices_from_anndata
from stofm_pyg.datasets import SyntheticTissue, generate_tissue

SMALL = {"num_slices": 2, "cells_per_slice": 120, "num_genes": 40, "num_features": 8}


class Stretch(BaseTransform):
    def __init__(self, factor):
        self.factor = factor

    def forward(self, data):
        data.pos = data.pos * self.factor
        return data


def assert_same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert set(a.keys()) == set(b.keys())
        for key in a.keys():
            equal = torch.equal(a[key], b[key]) if torch.is_tensor(a[key]) else a[key] == b[key]
            assert equal, key


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_without_root_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = SyntheticTissue(**SMALL)
    assert isinstance(dataset, InMemoryDataset)
    assert repr(dataset) == "SyntheticTissue(2)"
    assert dataset.adata.n_obs == 240
    assert list(tmp_path.iterdir()) == []


def test_slices_are_the_converted_tissue():
    dataset = SyntheticTissue(**SMALL, seed=3)
    adata = generate_tissue(2, 120, 40, seed=3)
    expected = slices_from_anndata(
        adata, slice_key="slice", labels=("domain", "cell_type"), num_features=8, seed=3
    )
    assert_same(dataset, expected)
    assert (dataset.adata.X != adata.X).nnz == 0


def test_truth_comes_along():
    dataset = SyntheticTissue(**SMALL)
    obs = dataset.adata.obs
    assert dataset.classes["domain"] == list(obs["domain"].cat.categories)
    for data in dataset:
        cells = data.cell_id >= 0
        rows = data.cell_id[cells].numpy()
        assert list(obs["slice"].iloc[rows].unique()) == [data.name]
        for label in ("domain", "cell_type"):
            np.testing.assert_array_equal(data[label][cells], obs[label].cat.codes.iloc[rows])
            assert (data[label][~cells] == -1).all()
            assert data.classes[label] == dataset.classes[label]
    assert dataset.adata.obsm["unobserved_counts"].shape == (240, 20)


def test_arguments_of_the_conversion_are_passed_on():
    dataset = SyntheticTissue(**SMALL, radius=2.0, virtual_cells=False, labels="cell_type")
    assert [data.num_nodes for data in dataset] == [120, 120]
    assert all(0 < data.edge_attr.max() <= 2.0 for data in dataset)
    assert list(dataset.classes) == ["cell_type"]


def test_single_slice_and_transforms():
    dataset = SyntheticTissue(
        num_slices=1, cells_per_slice=100, num_genes=40, num_features=5,
        pre_transform=Stretch(2.0), transform=Stretch(10.0),
    )  # fmt: skip
    plain = SyntheticTissue(num_slices=1, cells_per_slice=100, num_genes=40, num_features=5)
    assert len(dataset) == 1
    torch.testing.assert_close(dataset[0].pos, 20 * plain[0].pos)
    torch.testing.assert_close(dataset[0].pos, 20 * plain[0].pos)  # Not stretched once more.


def test_root_keeps_tissue_and_slices(tmp_path, monkeypatch):
    first = SyntheticTissue(tmp_path / "kept", **SMALL)
    written = files(tmp_path / "kept")
    assert [name.split("_")[0] for name in written] == ["processed/synthetic", "raw/synthetic"]
    assert_same(first, SyntheticTissue(**SMALL))

    def generate_again(**arguments):
        raise AssertionError(f"generated again: {arguments}")

    monkeypatch.setattr("stofm_pyg.datasets.synthetic_tissue.generate_tissue", generate_again)
    second = SyntheticTissue(str(tmp_path / "kept"), **SMALL)
    assert_same(first, second)
    assert second.classes == first.classes
    assert (second.adata.X != first.adata.X).nnz == 0
    assert second.adata.obs.equals(first.adata.obs)
    assert files(tmp_path / "kept") == written


def test_every_argument_has_its_own_file(tmp_path):
    base = {**SMALL, "num_slices": 1, "cells_per_slice": 100, "num_domains": 4}
    SyntheticTissue(tmp_path, **base)
    changes = [{"seed": 1}, {"num_domains": 5}, {"num_unobserved": 3}]
    for number, change in enumerate(changes, start=1):
        SyntheticTissue(tmp_path, **{**base, **change})
        assert len(list((tmp_path / "raw").iterdir())) == 1 + number
    # Another conversion of the same tissue.
    for number, change in enumerate(
        [{"radius": 3.0}, {"pre_transform": Stretch(2.0)}, {"pre_transform": Stretch(3.0)}], start=1
    ):
        SyntheticTissue(tmp_path, **{**base, **change})
        assert len(list((tmp_path / "raw").iterdir())) == 1 + len(changes)
        assert len(list((tmp_path / "processed").iterdir())) == 1 + len(changes) + number


def test_settings_are_kept_and_carried():
    dataset = SyntheticTissue(**SMALL, radius=3.0, seed=4)
    assert dataset.settings == SliceSettings(num_features=8, radius=3.0, seed=4)
    assert {data.settings for data in dataset} == {dataset.settings.to_json()}


def test_another_version_of_the_tissue_is_another_file(tmp_path, monkeypatch):
    SyntheticTissue(tmp_path, **SMALL)
    for _ in range(2):
        monkeypatch.setattr("stofm_pyg.datasets.synthetic_tissue.VERSION", 99)
        SyntheticTissue(tmp_path, **SMALL)
        assert len(list((tmp_path / "raw").iterdir())) == 2
        assert len(list((tmp_path / "processed").iterdir())) == 2


def test_a_function_is_not_kept_as_pre_transform(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = SyntheticTissue(tmp_path, **SMALL, pre_transform=lambda data: Stretch(2.0)(data))
    assert "make it a torch_geometric.transforms.BaseTransform" in caplog.text
    assert [name.split("_")[0] for name in files(tmp_path)] == ["raw/synthetic"]
    torch.testing.assert_close(dataset[1].pos, 2 * SyntheticTissue(**SMALL)[1].pos)


def test_damaged_files_are_made_again(tmp_path, caplog):
    expected = SyntheticTissue(tmp_path, **SMALL)
    for path in tmp_path.rglob("synthetic_tissue_*"):
        path.write_bytes(path.read_bytes()[:1000])
    with caplog.at_level(logging.WARNING):
        assert_same(SyntheticTissue(tmp_path, **SMALL), expected)
    assert caplog.text.count("cannot be read and is made again") == 2
    assert read_h5ad(next((tmp_path / "raw").iterdir())).n_obs == 240


def test_force_reload_makes_all_again(tmp_path):
    SyntheticTissue(tmp_path, **SMALL)
    paths = [path for path in tmp_path.rglob("*") if path.is_file()]
    for path in paths:
        path.write_bytes(b"old")
    SyntheticTissue(tmp_path, **SMALL, force_reload=True)
    assert len(paths) == 2 and all(path.stat().st_size > 1000 for path in paths)


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(content, file):
        file.write(b"part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.save", full)
    with pytest.raises(OSError, match="No space left"):
        SyntheticTissue(tmp_path, **SMALL)
    assert [name.split("_")[0] for name in files(tmp_path)] == ["raw/synthetic"]


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_slices must be at least 1, got 0; pass"):
        SyntheticTissue(num_slices=0)
    with pytest.raises(TypeError, match="no setting 'radus' of a slice; did you mean 'radius'"):
        SyntheticTissue(radus=3.0)
