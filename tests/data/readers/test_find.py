import pytest

from stofm_pyg.data.readers import find_format, sources_in


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file '.*gone' .*Check the path"):
        find_format(tmp_path / "gone")


def test_outs_below(write, tmp_path):
    write("Visium", tmp_path / "sample" / "outs")
    found = find_format(tmp_path / "sample")
    assert (found.name, found.path) == ("Visium", tmp_path / "sample" / "outs")
    assert found.files["counts"].name == "filtered_feature_bc_matrix.h5" and not found.is_store


def test_stores(write, tmp_path):
    assert find_format(write("h5ad", tmp_path / "a")).is_store
    assert find_format(write("AnnData zarr", tmp_path / "b.zarr")).is_store


def test_none_of_the_formats(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ValueError) as error:
        find_format(tmp_path)
    text = str(error.value)
    assert text.startswith(f"'{tmp_path}' is a folder of none of the formats that are read; ")
    assert "it holds 'notes.txt'." in text
    for wanted in (
        "Visium: 'filtered_feature_bc_matrix.h5' and 'spatial/*tissue_positions.csv'",
        "Visium HD: 'binned_outputs/square_*um'",
        "Xenium: 'cell_feature_matrix.h5' and 'cells.parquet'",
        "MERSCOPE: 'cell_by_gene.csv' and 'cell_metadata.csv'",
        "CosMx: '*exprMat_file.csv' and '*metadata_file.csv'",
        "Slide-seq: '*digital_expression*' and '*bead_locations*.csv*'",
        "Stereo-seq: '*.tissue.gem.gz'",
        "'.zgroup' or 'zarr.json'",
    ):
        assert wanted in text


def test_pictures_without_positions(tmp_path):
    for name in ("slide.TIF", "small.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match="Pictures have no positions of cells"):
        find_format(tmp_path)


def test_a_part_is_missing(write, tmp_path):
    folder = write("Xenium", tmp_path / "a")
    (folder / "cells.csv.gz").unlink()
    text = r"For Xenium it has counts, but no positions \('cells.parquet'\)\."
    with pytest.raises(ValueError, match=text):
        find_format(folder)


def test_counts_alone(write, tmp_path):
    folder = write("Visium", tmp_path / "a")
    with pytest.raises(ValueError, match="counts of 10x without positions. Name the folder"):
        find_format(folder / "filtered_feature_bc_matrix.h5")


def test_several_samples(write, tmp_path):
    folder = write("CosMx", tmp_path / "a")
    (folder / "Run2_exprMat_file.csv").write_text("fov,cell_ID,A\n")
    with pytest.raises(ValueError, match="CosMx with 2 files of counts: 'Run1_.*', 'Run2_.*own"):
        find_format(folder)


def test_only_what_lies_right_below_is_looked_at(write, tmp_path):
    write("Xenium", tmp_path / "a" / "b" / "c")
    with pytest.raises(ValueError) as error:
        find_format(tmp_path)
    assert "name one of these" not in str(error.value) and "holds 'a'" in str(error.value)
    assert sources_in(tmp_path / "a" / "b") == [tmp_path / "a" / "b" / "c"]
    with pytest.raises(ValueError, match="none of the formats"):
        sources_in(tmp_path)


def test_sources_of_a_folder(write, tmp_path):
    xenium, visium = write("Xenium", tmp_path / "x"), write("Visium", tmp_path / "v" / "outs").parent
    file = write("h5ad", tmp_path / "h").rename(tmp_path / "a.h5ad")
    (tmp_path / "README.txt").write_text("three samples")
    with pytest.raises(ValueError, match="Of a format are 'a.h5ad', 'v', 'x' in it: name one of these"):
        find_format(tmp_path)
    assert sources_in(tmp_path) == [file, visium, xenium]
    assert sources_in(xenium) == [xenium] and sources_in(file) == [file]
    with pytest.raises(ValueError, match="none of the formats"):
        sources_in(tmp_path / "h")
    with pytest.raises(FileNotFoundError):
        sources_in(tmp_path / "gone")
