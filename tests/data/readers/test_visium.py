import gzip
import json
import logging
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.data import read
from stofm_pyg.data.readers.visium import lattice_scale


@pytest.mark.parametrize("options", [{"header": False}, {"mtx": True}, {"raw": True}])
def test_layouts(write, tissue, tmp_path, caplog, options):
    with caplog.at_level(logging.INFO, "stofm_pyg.data.readers"):
        adata = read(write("Visium", tmp_path / "a", **options))
    tissue.check(adata)
    assert adata.uns["spatial_unit"] == "micron"
    assert adata.obs.columns.tolist() == ["array_row", "array_col"]
    assert adata.obs["array_col"].iloc[1] - adata.obs["array_col"].iloc[0] == 2
    assert ("5 places outside of the tissue left out" in caplog.text) == options.get("raw", False)


@given(
    scale=st.floats(0.05, 5.0),
    angle=st.floats(0.0, 2 * math.pi),
    mirrored=st.booleans(),
    shape=st.tuples(st.integers(2, 6), st.integers(2, 6)),
)
def test_length_of_a_pixel_follows_from_the_lattice(scale, angle, mirrored, shape):
    row, col = (axis.reshape(-1) for axis in np.indices(shape))
    col = 2 * col + row % 2
    pos = np.stack([50.0 * col, 50 * math.sqrt(3) * row], axis=1) * [-1 if mirrored else 1, 1]
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    pos = pos @ turn / scale + 1234.5
    table = pd.DataFrame({"array_row": row, "array_col": col})
    table[["pxl_col_in_fullres", "pxl_row_in_fullres"]] = pos
    assert lattice_scale(table) == pytest.approx(scale, rel=1e-6)


def test_without_a_lattice(write, tmp_path):
    folder = write("Visium", tmp_path / "a")
    path = folder / "spatial" / "tissue_positions.csv"
    table = pd.read_csv(path)
    pixels = table[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    table["array_row"] = table["array_row"].to_numpy()[::-1]
    table.to_csv(path, index=False)
    assert lattice_scale(table) is None
    adata = read(folder)
    assert adata.uns["spatial_unit"] == "pixel"
    rows = table.set_index("barcode").index.get_indexer(adata.obs_names)
    np.testing.assert_array_equal(adata.obsm["spatial"], pixels[rows])
    scale = folder / "spatial" / "scalefactors_json.json"
    scale.write_text(json.dumps({"microns_per_pixel": 0.5}))
    np.testing.assert_array_equal(read(folder).obsm["spatial"], pixels[rows] * 0.5)


def test_barcodes_that_do_not_match(write, tmp_path):
    folder = write("Visium", tmp_path / "a")
    path = folder / "spatial" / "tissue_positions.csv"
    table = pd.read_csv(path).sort_values("barcode")
    gone = table["barcode"].iloc[3]
    table.drop(index=table.index[3]).to_csv(path, index=False)
    with pytest.raises(ValueError, match=f"1 of the 49 cells with counts in .*the first '{gone}'"):
        read(folder)
    table["barcode"] = table["barcode"].str.removesuffix("-1")
    table.to_csv(path, index=False)
    with pytest.raises(ValueError, match="49 of the 49 .* 'AAAGATTACA-1'; the first position is of"):
        read(folder)


@pytest.mark.parametrize("keep", [0, 20, 700])
def test_truncated_positions(write, tmp_path, keep):
    folder = write("Visium", tmp_path / "a")
    path = folder / "spatial" / "tissue_positions.csv"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="tissue_positions.csv'"):
        read(folder)


def test_another_table(write, tmp_path):
    folder = write("Visium", tmp_path / "a")
    path = folder / "spatial" / "tissue_positions.csv"
    pd.read_csv(path).rename(columns={"in_tissue": "inside"}).to_csv(path, index=False)
    with pytest.raises(ValueError, match="has no column 'in_tissue'; it holds 'barcode', 'inside'"):
        read(folder)


@pytest.mark.parametrize("column", ["in_tissue", "array_row", "pxl_col_in_fullres"])
def test_places_that_are_no_numbers(write, tmp_path, column):
    path = write("Visium", tmp_path / "a") / "spatial" / "tissue_positions.csv"
    table = pd.read_csv(path, dtype=str)
    table.loc[3, column] = "some"
    table.to_csv(path, index=False)
    with pytest.raises(ValueError, match=rf"row 4 has 'some' as '{column}', which is no number"):
        read(path.parents[1])


def test_features_of_one_column(write, tmp_path):
    folder = write("Visium", tmp_path / "a", mtx=True)
    path = folder / "filtered_feature_bc_matrix" / "features.tsv.gz"
    with gzip.open(path, "rt") as file:
        text = file.read().replace("\t", ";")
    with gzip.open(path, "wt") as file:
        file.write(text)
    with pytest.raises(ValueError, match="its features have one column"):
        read(folder)
