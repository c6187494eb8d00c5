import gzip

import h5py
import numpy as np
import pytest

from stofm_pyg.data import read
from stofm_pyg.data.readers.tenx import read_tenx


@pytest.fixture
def both(write, tmp_path):
    file = write("Xenium", tmp_path / "h5") / "cell_feature_matrix.h5"
    folder = write("Xenium", tmp_path / "mtx", mtx=True) / "cell_feature_matrix"
    return file, folder / "matrix.mtx.gz"


def test_file_and_folder_hold_the_same(both, tissue):
    (counts, barcodes, genes), (others, names, features) = map(read_tenx, both)
    np.testing.assert_array_equal(counts.toarray(), others.toarray())
    np.testing.assert_array_equal(counts[:, 1:7].toarray(), tissue.counts)
    assert barcodes.tolist() == names.tolist() == [f"aaaa{i}-1" for i in range(49)]
    assert genes.equals(features) and genes.index[1:7].tolist() == tissue.genes
    assert genes["gene_ids"].iloc[1] == "ENSG00000000001"
    assert genes["control"].tolist() == ["control probe"] + [""] * 6 + ["control probe"] * 2


def test_features_that_are_no_genes(both):
    with h5py.File(both[0], "r+") as file:
        types = file["matrix/features/feature_type"].asstr()[:]
        types[2] = "Antibody Capture"
        file["matrix/features/feature_type"][:] = types
    genes = read_tenx(both[0])[2]
    assert genes["control"].iloc[2] == "antibody capture feature"


@pytest.mark.parametrize("part", [0.0, 0.4, 0.95])
def test_truncated(both, part):
    for path in both:
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
        with pytest.raises(ValueError, match=rf"'{path}' \([\d,]+ bytes\) cannot be read"):
            read_tenx(path)


def test_another_version(both):
    with h5py.File(both[0], "r+") as file:
        del file["matrix/features"]
    with pytest.raises(ValueError, match="it has no 'matrix/features'"):
        read_tenx(both[0])


def test_names_and_matrix_of_other_sizes(both, tmp_path):
    with gzip.open(both[1].parent / "barcodes.tsv.gz", "wt") as file:
        file.write("A-1\nB-1\n")
    with pytest.raises(ValueError, match=r"2 barcodes and 9 features for \(49, 9\)"):
        read_tenx(both[1])
    (both[1].parent / "features.tsv.gz").unlink()
    with pytest.raises(FileNotFoundError, match="no 'features.tsv' beside"):
        read(tmp_path / "mtx")
