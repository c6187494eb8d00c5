import shutil
import sys

import pytest

from stofm_pyg.data import read


def test_sizes_of_bins(write, tissue, tmp_path, caplog):
    pytest.importorskip("pyarrow", reason="positions of Visium HD are Parquet")
    folder = write("Visium HD", tmp_path / "a", sizes=(8, 16))
    with caplog.at_level("INFO", "stofm_pyg.data.readers"):
        tissue.check(read(folder))
    assert "bins of 8 microns of 8, 16" in caplog.text
    assert read(folder, bin_size=16).X.sum() == 2 * tissue.counts.sum()
    inner = folder / "binned_outputs"
    tissue.check(read(inner))
    assert read(inner / "square_016um").uns["spatial_format"] == "Visium"
    with pytest.raises(ValueError, match="no bins of 2 microns; pass 'bin_size=' with one of 8, 16"):
        read(folder, bin_size=2)
    shutil.rmtree(inner / "square_008um" / "spatial")
    with pytest.raises(FileNotFoundError, match=r"no 'spatial/\*tissue_positions.csv' in .*008um"):
        read(folder)


def test_without_pyarrow(write, tmp_path, monkeypatch):
    inner = tmp_path / "binned_outputs" / "square_008um"
    write("Visium", inner)
    (inner / "spatial" / "tissue_positions.csv").unlink()
    (inner / "spatial" / "tissue_positions.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"Parquet files .*'pyarrow'.*pip install .stofm-pyg\[readers"):
        read(tmp_path)
