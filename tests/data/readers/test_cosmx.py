import pytest

from stofm_pyg.data import read


@pytest.mark.parametrize("named", [False, True])
def test_background_controls_and_names(write, tissue, tmp_path, caplog, named):
    folder = write("CosMx", tmp_path / "a", named=named)
    with caplog.at_level("INFO", "stofm_pyg.data.readers"):
        adata = read(folder)
    tissue.check(adata)
    assert adata.obs_names[[0, 24, 25]].tolist() == ["1_1", "1_25", "2_1"]
    assert adata.obs["fov"].tolist() == ["1"] * 25 + ["2"] * 24
    for told in ("1 rows of no cell left out", "3 control probes left out",
                 "pixels of 0.120281 microns, taken for granted"):  # fmt: skip
        assert told in caplog.text


def test_size_of_a_pixel_that_is_known(write, tissue, tmp_path, caplog):
    with caplog.at_level("INFO", "stofm_pyg.data.readers"):
        tissue.check(read(write("CosMx", tmp_path / "a", pixel=0.18)), 1e-6)
    assert "pixels of 0.18 microns, of the positions of fields" in caplog.text


def test_another_table(write, tmp_path):
    path = write("CosMx", tmp_path / "a") / "Run1_S1_exprMat_file.csv"
    path.write_text(path.read_text().replace("cell_ID", "cell_id", 1))
    with pytest.raises(ValueError, match="has no column 'cell_ID'; it holds 'fov', 'cell_id'"):
        read(path.parent)
