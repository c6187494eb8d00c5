import gzip
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stofm_pyg.data import read

RECORDS = st.lists(
    st.tuples(st.sampled_from("ABC"), st.integers(-9, 40), st.integers(-9, 40), st.integers(1, 9)),
    min_size=1,
    max_size=30,
    unique_by=lambda record: record[:3],
)


def write_gem(path, records, counts="MIDCount"):
    with open(path, "w") as file:
        file.write(f"#FileFormat=GEMv0.1\n#Stereo-seqChip=X\ngeneID\tx\ty\t{counts}\n")
        file.writelines("\t".join(map(str, record)) + "\n" for record in records)


def write_gef(path, records):
    table = pd.DataFrame(records, columns=["gene", "x", "y", "count"]).sort_values("gene", kind="stable")
    number = table.groupby("gene", sort=True).size()
    genes = np.zeros(len(number), dtype=[("gene", "S32"), ("offset", "<u4"), ("count", "<u4")])
    genes["gene"], genes["count"] = number.index.to_numpy().astype("S32"), number
    genes["offset"] = np.cumsum(number) - number
    spots = np.zeros(len(table), dtype=[("x", "<i4"), ("y", "<i4"), ("count", "<u4")])
    for name in spots.dtype.names:
        spots[name] = table[name]
    with h5py.File(path, "w") as file:
        file["geneExp/bin1/expression"], file["geneExp/bin1/gene"] = spots, genes
        file["geneExp/bin1/expression"].attrs["resolution"] = np.uint32(500)


@settings(max_examples=15, deadline=None)
@given(records=RECORDS, side=st.integers(1, 20), counts=st.sampled_from(["MIDCount", "MIDCounts"]))
def test_bins(records, side, counts):
    expected = {}
    for gene, x, y, count in records:
        key = (x // side, y // side, gene)
        expected[key] = expected.get(key, 0) + count
    with tempfile.TemporaryDirectory() as folder:
        write_gem(Path(folder) / "a.gem", records, counts)
        write_gef(Path(folder) / "a.gef", records)
        for name in ("a.gem", "a.gef"):
            adata = read(Path(folder) / name, bin_size=side * 0.5)
            found = {}
            for cell, gene in zip(*adata.X.nonzero(), strict=True):
                # The centre of a bin lies half way between its first spot and its last.
                place = (adata.obsm["spatial"][cell] / 0.5 - (side - 1) / 2) / side
                x, y = (int(value) for value in np.rint(place))
                np.testing.assert_allclose(place, (x, y), atol=1e-6)
                assert adata.obs_names[cell] == f"{x * side}_{y * side}"
                found[x, y, adata.var_names[gene]] = int(adata.X[cell, gene])
            assert found == expected


def test_usual_bin_and_cells(write, tissue, tmp_path, caplog):
    folder = write("Stereo-seq", tmp_path / "a")
    with caplog.at_level("INFO", "stofm_pyg.data.readers"):
        adata = read(folder)
    assert "3 of " in caplog.text and "records in no cell left out" in caplog.text
    assert sorted(adata.obs_names, key=int) == [str(i) for i in range(1, 50)]
    file = write("Stereo-seq", tmp_path / "b", cells=False) / "SS200.tissue.gem.gz"
    with caplog.at_level("INFO", "stofm_pyg.data.readers"):
        adata = read(file)
    assert "bins of 25 microns (bin 50)" in caplog.text
    assert adata.n_obs == 49 and adata.X.sum() == tissue.counts.sum()
    # Cells that the file tells are bins all the same where a size is asked for.
    assert read(folder, bin_size=1000).n_obs == 1


def test_size_of_bins(write, tmp_path):
    with pytest.raises(ValueError, match=r"must be a multiple of 0.5 microns here \(got 0.7\)"):
        read(write("Stereo-seq", tmp_path / "a"), bin_size=0.7)


def test_truncated(write, tmp_path):
    path = write("Stereo-seq", tmp_path / "a", cells=False) / "SS200.tissue.gem.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"SS200.tissue.gem.gz' \([\d,]+ bytes\) cannot be read"):
        read(path)
    text = gzip.decompress(whole).decode().rstrip("\n")
    plain = tmp_path / "a.gem"
    plain.write_text(text[: text.rindex("\t")])
    with pytest.raises(ValueError, match="record [0-9]+ is cut short"):
        read(plain)
    with h5py.File(tmp_path / "cells.gef", "w") as file:
        file["cellBin/cell"] = [1]
    with pytest.raises(ValueError, match="no GEF file of square bins"):
        read(tmp_path / "cells.gef")
