import pytest

from stofm_pyg.data import read


def test_beads_without_a_header(write, tissue, tmp_path):
    adata = read(write("Slide-seq", tmp_path / "a", header=False))
    tissue.check(adata, 1e-9)
    assert adata.uns["spatial_unit"] == "unknown" and adata.obs_names[1] == "CAAGATTACA-1"


def test_beads_without_counts(write, tmp_path, caplog):
    path = write("Slide-seq", tmp_path / "a") / "Puck_1_bead_locations.csv"
    path.write_text(path.read_text() + "TTTT-1,1.0,2.0\n")
    with caplog.at_level("INFO", "stofm_pyg.data.readers"):
        assert read(path.parent).n_obs == 49
    assert "1 beads without counts left out" in caplog.text


def test_another_table(write, tmp_path):
    path = write("Slide-seq", tmp_path / "a") / "Puck_1_bead_locations.csv"
    path.write_text("bead,x,y,z\nA,1,2,3\n")
    with pytest.raises(ValueError, match="has no column 'barcodes' or 'barcode'"):
        read(path.parent)
