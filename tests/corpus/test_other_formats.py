"""A corpus of folders, and their hashes."""

import h5py
import numpy as np
import pytest
from scipy import sparse

from stofm_pyg.corpus import build_corpus
from stofm_pyg.corpus.plan import FileHashes
from stofm_pyg.data import SliceSettings
from stofm_pyg.data.slices.reader import SliceReader
from stofm_pyg.datasets import H5adSlices
from stofm_pyg.models.features import PCAFeatures

SETTINGS = SliceSettings(num_features=4, max_clusters=3)


@pytest.fixture
def folder(tmp_path):
    """A folder of Xenium."""
    out = tmp_path / "xenium"
    out.mkdir()
    rng = np.random.default_rng(0)
    counts, text = sparse.csr_matrix(rng.poisson(2.0, (60, 8))), h5py.string_dtype()
    names = [f"c{i}" for i in range(60)]
    with h5py.File(out / "cell_feature_matrix.h5", "w") as file:
        group = file.create_group("matrix")
        group["data"], group["indices"], group["indptr"] = counts.data, counts.indices, counts.indptr
        group["shape"] = [8, 60]
        group.create_dataset("barcodes", data=names, dtype=text)
        for key, values in {"name": "G", "id": "ENSG", "feature_type": ""}.items():
            values = [f"{values}{i}" if values else "Gene Expression" for i in range(8)]
            group.create_dataset(f"features/{key}", data=values, dtype=text)
    rows = [f"{name},{i // 8 * 10},{i % 8 * 10}\n" for i, name in enumerate(names)]
    (out / "cells.csv").write_text("cell_id,x_centroid,y_centroid\n" + "".join(rows))
    return out


def test_a_folder_becomes_a_shard(folder, tmp_path):
    features = PCAFeatures.fit([SliceReader(folder, SETTINGS).read("")], 4)
    corpus = build_corpus([folder], tmp_path / "corpus", None, SETTINGS, features=features)
    assert corpus.names == ["xenium"] and corpus.num_cells == 60


def test_hashes_of_what_is_read(folder, tmp_path):
    hashes = FileHashes(tmp_path / "hashes")
    before = hashes(folder)
    (folder / "morphology.tif").write_bytes(b"a picture")
    assert hashes(folder) == before
    path = folder / "cells.csv"
    path.write_text(path.read_text().replace("c7,0,70", "c7,0,71"))
    assert hashes(folder) != before


def test_kept_slices_of_a_folder(folder, tmp_path):
    first = H5adSlices(folder, root=tmp_path / "root", settings=SETTINGS)
    again = H5adSlices(folder, root=tmp_path / "root", settings=SETTINGS)
    assert again[0].pos.equal(first[0].pos) and len(list(tmp_path.glob("root/processed/*.pt"))) == 1
    path = folder / "cells.csv"
    path.write_text(path.read_text().replace("c7,0,70", "c7,0,79"))
    assert not H5adSlices(folder, root=tmp_path / "root", settings=SETTINGS)[0].pos.equal(first[0].pos)
