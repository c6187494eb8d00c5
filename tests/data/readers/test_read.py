import importlib.util
import logging

import numpy as np
import pytest

from stofm_pyg.data import SliceSettings, from_anndata, open_anndata, read
from stofm_pyg.data.slices.reader import SliceReader

NEEDS = {"Visium HD": "pyarrow"}
FORMATS = [
    "h5ad",
    "AnnData zarr",
    "Visium",
    "Visium HD",
    "Xenium",
    "MERSCOPE",
    "CosMx",
    "Stereo-seq",
    "Slide-seq",
]
# The lattice of spots that a cell of Stereo-seq was put on.
ATOL = {"Stereo-seq": 0.5}


@pytest.fixture(params=FORMATS)
def source(request, write, tmp_path):
    needed = NEEDS.get(request.param)
    if needed is not None and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{request.param} is written with {needed}, which is not installed")
    return request.param, write(request.param, tmp_path / "sample")


def test_the_same_tissue_in_every_format(source, tissue, caplog):
    name, path = source
    with caplog.at_level(logging.INFO, "stofm_pyg.data.readers"):
        adata = read(path)
    tissue.check(adata, ATOL.get(name, 1e-3))
    lines = [record.getMessage() for record in caplog.records if "readers" in record.name]
    assert len(lines) == 1 and lines[0].startswith(f"'{path}': {name}, 49 cells of 6 genes")
    if name in ("h5ad", "AnnData zarr"):
        assert "spatial_unit" not in adata.uns  # Nothing is known of it.
        return
    assert adata.uns["spatial_format"] == name
    assert adata.uns["spatial_unit"] == ("unknown" if name == "Slide-seq" else "micron")
    assert ("positions in microns" in lines[0]) == (name != "Slide-seq")


def test_a_slice_from_every_format(source, tissue):
    name, path = source
    settings = SliceSettings(virtual_cells=False, num_features=3, unit="micron", radius=120.0)
    data = from_anndata(path, settings)
    reader = SliceReader(path, settings)
    assert list(reader.rows) == [""] and reader.num_cells == 49 and reader.path == path
    tissue.check(reader.read(""), ATOL.get(name, 1e-3))
    expected = from_anndata(tissue.adata, settings)
    assert data.num_nodes == 49 and data.edge_index.size(1) == expected.edge_index.size(1)
    assert data.edge_attr.sum().item() == pytest.approx(expected.edge_attr.sum().item(), rel=1e-2)
    assert data.x.square().sum().item() == pytest.approx(expected.x.square().sum().item(), rel=1e-4)


def test_what_was_read_can_be_written(source, tmp_path):
    adata = read(source[1])
    adata.write_h5ad(tmp_path / "again.h5ad")
    again = read(tmp_path / "again.h5ad")
    np.testing.assert_array_equal(again.obsm["spatial"], adata.obsm["spatial"])
    assert again.uns.get("spatial_unit") == adata.uns.get("spatial_unit")


def test_counts_of_a_file_stay_in_it(write, tmp_path):
    path = write("h5ad", tmp_path / "a")
    assert not read(path).isbacked
    for adata in (read(path, backed=True), open_anndata(path)):
        assert adata.isbacked
        adata.file.close()


@pytest.mark.parametrize("option", [{"table": "cells"}, {"bin_size": 8.0}])
def test_options_of_another_format(write, tmp_path, option):
    path = write("Xenium", tmp_path / "a")
    with pytest.raises(ValueError, match=f"'{next(iter(option))}' means nothing .* is Xenium"):
        read(path, **option)


def test_the_unit_goes_on_to_slices(write, tmp_path, caplog):
    unknown, known = write("Slide-seq", tmp_path / "a"), write("Xenium", tmp_path / "b")
    for path, given, told in [
        (unknown, {}, "unit of positions (unknown) is taken for a micron"),
        (unknown, {"microns_per_unit": 0.65}, None),
        (known, {}, None),
        (known, {"microns_per_unit": 0.2}, "are in microns already; 'microns_per_unit=0.2' scales them"),
    ]:
        for make in (SliceReader, lambda *args: from_anndata(*args, virtual_cells=False)):
            caplog.clear()
            make(path, SliceSettings(unit="micron", radius=120.0, **given))
            texts = [record.getMessage() for record in caplog.records if "check_unit" in record.name]
            assert len(texts) == (told is not None) and all(told in text for text in texts)
