import importlib.util
import math
from importlib.machinery import ModuleSpec

import numpy as np
import pytest
import torch
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from torch_geometric.data import Data

from stofm_pyg.transforms import ConnectVirtualCells, LigandReceptorPrior, SpatialRadiusGraph
from stofm_pyg.transforms._ligand_receptor_pairs import ligand_receptor_pairs

GENES = ["LigA", "LIGB", "RecA", "RECB", "recC", "other"]
PAIRS = [("LIGA", "RECA"), ("LigB", "RecA"), ("LIGA", "RECB_RECC"), ("LIGA", "ABSENT")]


@pytest.fixture(scope="module")
def adata():
    counts = np.random.default_rng(0).poisson(2.0, (12, len(GENES))).astype(np.float32)
    counts[3] = 0  # A cell without a count.
    adata = AnnData(sparse.csr_matrix(counts))
    adata.var_names = GENES
    return adata


@pytest.fixture
def data():
    pos = torch.rand(7, 2, generator=torch.Generator().manual_seed(0)) * 2
    data = Data(pos=pos, cell_id=torch.tensor([2, 3, 5, 7, 11, 0, -1]))
    data.node_type = torch.tensor([0] * 6 + [2], dtype=torch.uint8)
    return ConnectVirtualCells()(SpatialRadiusGraph(1.2)(data))


def expected_scores(adata, data):
    """Pair by pair, edge by edge."""
    x = adata.X.toarray().astype(float)
    total = x.sum(axis=1)
    x = np.log1p(x * np.median(total[total > 0]) / np.maximum(total, 1e-12)[:, None])
    lig_a, lig_b, rec_a, rec_b, rec_c, _ = x.T

    def score(j, i):
        return lig_a[j] * rec_a[i] + lig_b[j] * rec_a[i] + lig_a[j] * min(rec_b[i], rec_c[i])

    cells = range(adata.n_obs)
    scale = math.sqrt(np.mean([score(j, i) ** 2 for j in cells for i in cells]))
    rows = data.cell_id[data.edge_index].t().tolist()
    return [0.0 if min(j, i) < 0 else score(j, i) / scale for j, i in rows]


def test_scores(adata, data, monkeypatch):
    transform = LigandReceptorPrior(adata, PAIRS)
    assert len(transform.pairs) == 3 and str(transform) == "LigandReceptorPrior(3 pairs)"
    expected = torch.tensor(expected_scores(adata, data), dtype=torch.float).view(-1, 1)
    assert expected.abs().max() > 0.5
    out = transform(data.clone())
    assert out.edge_prior.dtype == torch.float32 and out.edge_prior.shape == expected.shape
    assert torch.allclose(out.edge_prior, expected, atol=1e-5)
    monkeypatch.setattr("stofm_pyg.transforms.ligand_receptor_prior.DENSE", 0)
    assert torch.allclose(transform(data.clone()).edge_prior, expected, atol=1e-5)
    monkeypatch.setattr("stofm_pyg.transforms.ligand_receptor_prior.CHUNK", 4)  # Two edges at a time.
    assert torch.allclose(transform(data.clone()).edge_prior, expected, atol=1e-5)


def test_directions_and_nodes_without_a_cell(adata, data):
    out = LigandReceptorPrior(adata, [("LigA", "RecA")])(data.clone())
    source, target = out.cell_id[out.edge_index]
    virtual = (source < 0) | (target < 0)
    assert virtual.any() and (out.edge_prior[virtual] == 0).all()
    there, back = ((source == a) & (target == b) for a, b in ((2, 5), (5, 2)))
    assert there.sum() == back.sum() == 1
    assert not torch.isclose(out.edge_prior[there], out.edge_prior[back])


@pytest.mark.parametrize("kind", ["dense", "csc", "layer", "view"])
def test_counts_wherever_they_are(adata, data, kind):
    expected = LigandReceptorPrior(adata, PAIRS)(data.clone()).edge_prior
    other, options = adata.copy(), {}
    if kind == "layer":
        other.layers["counts"], other.X = other.X.copy(), np.zeros(other.shape)
        options["layer"] = "counts"
    elif kind == "view":
        other = other[:, GENES]
    else:
        other.X = other.X.toarray() if kind == "dense" else other.X.tocsc()
    out = LigandReceptorPrior(other, PAIRS, **options)(data.clone())
    assert torch.allclose(out.edge_prior, expected)


def test_names_of_genes(adata, data):
    expected = LigandReceptorPrior(adata, PAIRS)(data.clone()).edge_prior
    other = adata.copy()
    other.var_names = [f"ENSG{number}" for number in range(len(GENES))]
    out = LigandReceptorPrior(other, PAIRS, genes=GENES)(data.clone())
    assert torch.equal(out.edge_prior, expected)


def test_without_edges(adata):
    data = Data(cell_id=torch.tensor([1]), edge_index=torch.empty(2, 0, dtype=torch.long))
    assert LigandReceptorPrior(adata, PAIRS)(data).edge_prior.shape == (0, 1)


def test_errors(adata, data):
    with pytest.raises(ValueError, match=r"None of the 1 pairs .* the 6 of the slices, such as 'LIGA'"):
        LigandReceptorPrior(adata, [("A", "B")])
    with pytest.raises(ValueError, match="no layer 'raw'; known: none"):
        LigandReceptorPrior(adata, PAIRS, layer="raw")
    with pytest.raises(ValueError, match=r"must name the 6 genes \(got 2 names\)"):
        LigandReceptorPrior(adata, PAIRS, genes=["A", "B"])
    negative = AnnData(np.full((2, 6), -1.0))
    with pytest.raises(ValueError, match="finite and not negative"):
        LigandReceptorPrior(negative, PAIRS, genes=GENES)
    transform = LigandReceptorPrior(adata, PAIRS)
    with pytest.raises(ValueError, match="no graph"):
        transform(Data(cell_id=torch.tensor([0])))
    with pytest.raises(ValueError, match="got no 'cell_id'"):
        transform(Data(edge_index=data.edge_index))
    data.cell_id[0] = 12
    with pytest.raises(ValueError, match="the 12 cells of the AnnData is needed .got 'cell_id' 12"):
        transform(data)


gene = st.text("ABC1-_", min_size=1, max_size=5)


@settings(max_examples=30)
@given(st.lists(st.tuples(gene, gene), min_size=1), st.booleans(), st.booleans())
def test_csv_files(tmp_path_factory, pairs, header, swapped):
    path = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    swapped = swapped and header
    rows = [pair[::-1] for pair in pairs] if swapped else pairs
    names = ["Receptor,Ligand" if swapped else "ligand,receptor"] if header else []
    path.write_text("\n".join([*names, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")
    assert ligand_receptor_pairs(path) == list(dict.fromkeys(pairs))
    assert ligand_receptor_pairs(str(path)) == ligand_receptor_pairs(pairs)


@pytest.mark.parametrize("text", ["", "ligand,receptor\n", "A\nB\n", "A,B,C\n", "A,\n"])
def test_files_that_are_none(tmp_path, text):
    path = tmp_path / "pairs.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"pairs.csv' holds .* two columns, ligands and receptors"):
        ligand_receptor_pairs(path)
    with pytest.raises(FileNotFoundError, match="no file .*none.csv"):
        ligand_receptor_pairs(tmp_path / "none.csv")


def test_liana_is_read_and_not_imported(tmp_path, monkeypatch):
    folder = tmp_path / "liana" / "resource"
    folder.mkdir(parents=True)
    (folder / "omni_resource.csv").write_text(
        '"","source","target","source_genesymbol","target_genesymbol","resource"\n'
        '"1","P1","P2","LIGA","RECA","consensus"\n'
        '"2","P1","P3","LIGA","RECB_RECC","consensus"\n'
        '"3","P1","P2","Liga","Reca","mouseconsensus"\n',
        encoding="utf-8",
    )
    spec = ModuleSpec("liana", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path / "liana")]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert ligand_receptor_pairs() == [("LIGA", "RECA"), ("LIGA", "RECB_RECC")]
    assert ligand_receptor_pairs("mouseconsensus") == [("Liga", "Reca")]
    with pytest.raises(ValueError, match="no resource 'mine'; known: consensus, mouseconsensus"):
        ligand_receptor_pairs("mine")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install \"stofm-pyg\[ligands\]\""):
        ligand_receptor_pairs()


@pytest.mark.skipif(importlib.util.find_spec("liana") is None, reason="needs stofm-pyg[ligands]")
def test_liana_as_it_is():
    pairs = ligand_receptor_pairs("consensus")
    assert len(pairs) > 3000 and ("LGALS9", "PTPRC") in pairs
