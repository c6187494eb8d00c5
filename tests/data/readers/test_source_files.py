import pytest

from stofm_pyg.data.readers import source_files


@pytest.mark.parametrize(
    "name, options, expected",
    [
        ("Visium", {}, ["filtered_feature_bc_matrix.h5", "spatial/scalefactors_json.json",
                        "spatial/tissue_positions.csv"]),
        ("Xenium", {"mtx": True}, [*(f"cell_feature_matrix/{name}.gz" for name in
                                     ("barcodes.tsv", "features.tsv", "matrix.mtx")), "cells.csv.gz"]),
        ("CosMx", {"pixel": 0.2}, [f"Run1_S1_{name}_file.csv" for name in
                                   ("exprMat", "fov_positions", "metadata")]),
        ("Stereo-seq", {}, ["SS200.tissue.gem.gz"]),
    ],
)  # fmt: skip
def test_what_is_read_and_no_more(write, tmp_path, name, options, expected):
    folder = write(name, tmp_path / "a", **options)
    (folder / "morphology.ome.tif").write_bytes(b"")
    (folder / "transcripts.csv.gz").write_bytes(b"")
    assert [str(file.relative_to(folder)) for file in source_files(folder)] == expected


def test_stores(write, tmp_path):
    path = write("h5ad", tmp_path / "a")
    assert source_files(path) == [path]
    store = write("AnnData zarr", tmp_path / "b.zarr")
    assert source_files(store) == sorted(path for path in store.rglob("*") if path.is_file())
    with pytest.raises(ValueError, match="none of the formats"):
        source_files(tmp_path / "a")
