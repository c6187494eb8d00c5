import hashlib
import urllib.error

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from stofm_pyg.data import SliceSettings
from stofm_pyg.datasets import (
    H5adSlices,
    PublishedSlices,
    download_published,
    published,
    published_label,
    published_names,
)
from stofm_pyg.datasets._published_formats import MERFISH_GENES, read_10x, read_dlpfc
from stofm_pyg.datasets._published_table import PUBLISHED, PublishedData, PublishedFile

SETTINGS = SliceSettings(radius=2.5, max_clusters=4, num_features=3)
NUM_SPOTS, NUM_GENES = 60, 30


def write_10x(path, seed, barcodes):
    """Counts as 10x Genomics writes them; returns those of genes."""
    rng = np.random.default_rng(seed)
    counts = sparse.csr_matrix(rng.poisson(2.0, size=(len(barcodes), NUM_GENES + 1)).astype(np.int32))
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        for key, values in (
            ("data", counts.data),
            ("indices", counts.indices),
            ("indptr", counts.indptr),
        ):
            matrix[key] = values
        matrix["shape"] = np.array(counts.shape[::-1])
        text = h5py.string_dtype()
        matrix.create_dataset("barcodes", data=np.array(barcodes, dtype=object), dtype=text)
        names = [f"G{number}" for number in range(NUM_GENES - 1)] + ["G0", "tag"]
        kinds = ["Gene Expression"] * NUM_GENES + ["Antibody Capture"]
        for key, values in (("name", names), ("id", [f"ENSG{i}" for i in range(NUM_GENES + 1)]),
                            ("feature_type", kinds)):  # fmt: skip
            matrix.create_dataset(f"features/{key}", data=np.array(values, dtype=object), dtype=text)
    return counts.toarray()[:, :NUM_GENES]


@pytest.fixture
def pilot(tmp_path):
    """Two sections in the form of the published ones; the second row of positions is in no count."""
    folder = tmp_path / "web"
    folder.mkdir()
    rng = np.random.default_rng(0)
    counts, layers = {}, []
    for seed, name in enumerate(("151673", "151674")):
        barcodes = [f"B{number}-1" for number in range(NUM_SPOTS)]
        counts[name] = write_10x(folder / f"{name}_filtered_feature_bc_matrix.h5", seed, barcodes)
        place = pd.DataFrame({"barcode": ["none-1", *barcodes[::-1]]})
        place["tissue"], place["row"], place["column"] = 1, 0, 0
        place["y"], place["x"] = rng.uniform(0, 100, (2, len(place))).round(2)
        place.to_csv(folder / f"{name}_positions.csv", header=False, index=False)
        layers += [f"{barcode}\t{name}\tL{i % 3}" for i, barcode in enumerate(barcodes[:-5])]
    (folder / "layers.tsv").write_text("\n".join(layers) + "\n")
    return folder, counts


def entry(folder, hashes=()):
    names = ["layers.tsv"]
    for section in ("151673", "151674"):
        names += [f"{section}_filtered_feature_bc_matrix.h5", f"{section}_positions.csv"]
    files = [PublishedFile(name, (folder / name).as_uri(), dict(hashes).get(name)) for name in names]
    return PublishedData(files, read_dlpfc, "domain", "two sections")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def two(pilot, monkeypatch):
    monkeypatch.setitem(PUBLISHED, "two", entry(pilot[0]))
    return pilot


def test_a_published_data_set_is_a_dataset(two, tmp_path):
    folder, counts = two
    dataset = PublishedSlices("two", tmp_path / "root", SETTINGS)
    assert [data.name for data in dataset] == ["151673", "151674"]
    assert dataset.classes == {"domain": ["L0", "L1", "L2"]}
    place = pd.read_csv(folder / "151674_positions.csv", header=None, index_col=0)
    for data in dataset:
        cells = data.cell_id >= 0
        assert data.domain[cells].tolist() == [i % 3 for i in range(NUM_SPOTS - 5)] + [-1] * 5
    made = tmp_path / "root" / "two" / "raw" / "two.h5ad"
    import anndata

    adata = anndata.read_h5ad(made)
    assert (adata.X.toarray()[:NUM_SPOTS] == counts["151673"]).all()
    assert adata.obs_names[NUM_SPOTS] == "151674_B0-1" and adata.var_names[-1] == "G0-1"
    # Columns 5 and 4 of the table are x and y in pixels.
    assert (adata.obsm["spatial"][NUM_SPOTS] == place.loc["B0-1", [5, 4]].to_numpy()).all()
    assert "two sections" in adata.uns["source"]
    other = H5adSlices(made, SETTINGS, labels="domain")
    assert (other[1].x == dataset[1].x).all() and (other[1].pos == dataset[1].pos).all()


def test_files_are_downloaded_once(two, tmp_path, monkeypatch):
    made = download_published("two", tmp_path)
    monkeypatch.setattr(
        published.urllib.request, "urlopen", lambda *args, **kwargs: pytest.fail("again")
    )
    assert download_published("two", tmp_path) == made == tmp_path / "two" / "raw" / "two.h5ad"
    monkeypatch.setenv("STOFM_PYG_DATA", str(tmp_path))
    assert download_published("two") == made
    made.unlink()
    assert download_published("two", tmp_path) == made and made.is_file()


def test_a_known_hash_is_checked(pilot, tmp_path, monkeypatch):
    folder, _ = pilot
    hashes = {path.name: sha256(path) for path in folder.iterdir()}
    monkeypatch.setitem(PUBLISHED, "two", entry(folder, hashes))
    download_published("two", tmp_path / "good")
    assert not list((tmp_path / "good").rglob("*.sha256"))
    hashes["layers.tsv"] = "0" * 64
    monkeypatch.setitem(PUBLISHED, "two", entry(folder, hashes))
    with pytest.raises(
        ValueError, match=r"layers.tsv' has the SHA-256 .*, not 0{64}: .*Remove the file"
    ):
        download_published("two", tmp_path / "bad")


def test_the_hash_of_the_first_download_is_kept(two, tmp_path, caplog):
    folder, _ = two
    made = download_published("two", tmp_path)
    kept = made.with_name("layers.tsv.sha256")
    assert kept.read_text().strip() == sha256(folder / "layers.tsv")
    assert "The hash of" in caplog.text and sha256(folder / "layers.tsv") in caplog.text
    for name in ("two.h5ad", "layers.tsv"):
        made.with_name(name).unlink()
    (folder / "layers.tsv").write_text("changed\t151673\tL0\n")
    with pytest.raises(ValueError, match="has changed. Remove the file and try again, with '.*sha256'"):
        download_published("two", tmp_path)


def test_what_cannot_be_downloaded_is_named(two, tmp_path, monkeypatch):
    folder, _ = two
    (folder / "151674_positions.csv").unlink()
    with pytest.raises(OSError, match="151674_positions.csv cannot be downloaded .*by hand to"):
        download_published("two", tmp_path)
    assert not (tmp_path / "two" / "raw" / "two.h5ad").exists()
    assert not list(tmp_path.rglob("*.tmp"))

    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(published.urllib.request, "urlopen", refuse)
    with pytest.raises(OSError, match=r"cannot be downloaded \(no network\)"):
        download_published("two", tmp_path / "other")


def test_files_that_are_not_as_expected(pilot):
    folder, _ = pilot
    with h5py.File(folder / "no.h5", "w") as file:
        file["matrix/data"] = [1]
    with pytest.raises(ValueError, match="is no h5 file of 10x Genomics"):
        read_10x(folder / "no.h5")
    (folder / "positions.csv").write_text("B1-1,1,0,0,1,1\n")
    paths = [
        folder / "layers.tsv",
        folder / "151673_filtered_feature_bc_matrix.h5",
        folder / "positions.csv",
    ]
    with pytest.raises(ValueError, match=f"has no position of {NUM_SPOTS - 1} spots, e.g., B0-1"):
        read_dlpfc(paths)


def merfish_table(counts, volumes):
    rng = np.random.default_rng(1)
    size = len(counts)
    table = pd.DataFrame({
        "Cell_ID": [f"cell{i}" for i in range(size)], "Animal_ID": [1] * (size - 1) + [2],
        "Animal_sex": "Female", "Behavior": "Naive",
        "Bregma": np.where(np.arange(size) % 2, 0.26, -0.29),
        "Centroid_X": rng.uniform(size=size), "Centroid_Y": rng.uniform(size=size),
        "Cell_class": ["Ambiguous", *["Inhibitory", "Excitatory"] * size][:size],
        "Neuron_cluster_ID": "",
        "Blank_1": 0.3,
    })  # fmt: skip
    values = pd.DataFrame(counts / volumes[:, None], columns=list(MERFISH_GENES))
    return pd.concat([table, values, pd.Series(rng.uniform(size=size), name="Fos")], axis=1)


def test_numbers_of_molecules_come_back_from_densities(tmp_path):
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.5, size=(40, len(MERFISH_GENES)))
    counts[:, 0] = 1
    counts[3] = 0
    merfish_table(counts, rng.uniform(0.2, 3, 40)).to_csv(tmp_path / "cells.csv", index=False)
    adata = PUBLISHED["merfish_hypothalamus"].read([tmp_path / "cells.csv"])
    kept = [i for i in range(39) if i != 3]  # Of the first animal, with any molecule.
    assert (adata.X.toarray() == counts[kept]).all() and list(adata.var_names) == list(MERFISH_GENES)
    assert set(adata.obs["slice"]) == {"A1_-0.29", "A1_+0.26"}
    assert adata.obs["cell_type"].isna().sum() == 1
    with pytest.raises(ValueError, match="whole multiples of its smallest"):
        noise = rng.uniform(1, 2, size=counts.shape)
        merfish_table(noise, np.ones(40)).to_csv(tmp_path / "noise.csv", index=False)
        PUBLISHED["merfish_hypothalamus"].read([tmp_path / "noise.csv"])


def test_the_table():
    assert published_names() == ["dlpfc", "dlpfc_all", "merfish_hypothalamus"]
    assert published_label("dlpfc") == "domain" and len(MERFISH_GENES) == 135
    for known in PUBLISHED.values():
        names = [file.name for file in known.files]
        assert len(set(names)) == len(names) and all(f.url.startswith("https://") for f in known.files)
    with pytest.raises(ValueError, match="Unknown published data set 'dlpcf'; did you mean 'dlpfc'"):
        PublishedSlices("dlpcf")
