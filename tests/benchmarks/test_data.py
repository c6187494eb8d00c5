import anndata
import numpy as np
import pytest
import torch
from anndata import AnnData

from benchmarks.data import BenchmarkData
from stofm_pyg.data import SliceSettings
from tests.models.fit_case import make_tissue


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One file of two slices whose cells lie mixed, and one of a slice."""
    folder = tmp_path_factory.mktemp("files")
    adata = make_tissue()
    order = np.arange(200).reshape(2, 100).T.reshape(-1)
    adata[order].copy().write_h5ad(folder / "b.h5ad")
    make_tissue(1, seed=5).write_h5ad(folder / "a.h5ad")
    return [str(folder / "b.h5ad"), str(folder / "a.h5ad")]


SETTINGS = SliceSettings(num_features=5)


@pytest.fixture(scope="module")
def data(files):
    return BenchmarkData(files, "domain", SETTINGS)


def test_rows_lead_back_to_the_sources(data, files):
    assert len(data.slices) == 3 and data.sources == files
    tables = [anndata.read_h5ad(file).obs for file in files]
    for item, (source, rows) in zip(data.slices, data.rows, strict=True):
        names = tables[source]["domain"].to_numpy()[rows]
        codes = item.domain[item.cell_id >= 0].tolist()
        assert [item.classes["domain"][code] for code in codes] == list(names)
        assert (tables[source]["slice"].to_numpy()[rows] == item.name.split(":")[-1]).all()
    embeddings = [np.arange(len(table))[:, None] for table in tables]
    for part, (_, rows) in zip(data.divide(embeddings), data.rows, strict=True):
        assert (part[:, 0] == rows).all()


def test_a_slice_left_out(data, files):
    assert data.sources_without(None) == files
    for which, (source, rows) in enumerate(data.rows):
        left = data.sources_without(which)
        if len(rows) == 100 and source == 1:  # A file of this slice alone.
            assert left == files[:1]
            continue
        assert left[1 - source] == files[1 - source] and isinstance(left[source], AnnData)
        assert left[source].n_obs == 100
        assert left[source].obs["slice"].nunique() == 1
        assert data.slices[which].name.split(":")[-1] not in set(left[source].obs["slice"])
    assert data.sources == files


def test_genes_that_all_have(files, tmp_path):
    adata = anndata.read_h5ad(files[1])
    adata[:, ::-1][:, :30].copy().write_h5ad(tmp_path / "c.h5ad")
    data = BenchmarkData([files[0], str(tmp_path / "c.h5ad")], "domain", SETTINGS)
    counts, genes = data.counts()
    assert len(genes) == 30 and [part.shape for part in counts] == [(100, 30)] * 3
    by_name = adata[:, genes].X.toarray()
    number = [source for source, _ in data.rows].index(1)
    np.testing.assert_array_equal(counts[number].toarray(), by_name)


def test_generated_tissue():
    data = BenchmarkData(None, "domain", SliceSettings(seed=3, num_features=5), "tiny")
    assert len(data.slices) == 2 and isinstance(data.sources[0], AnnData)
    assert data.classes == data.slices[1].classes["domain"] and len(data.classes) > 2
    assert torch.equal(data.slices[1].cell_id[:400], torch.arange(400, 800))
    assert [x.shape for x in data.components()] == [(400, 5)] * 2
    assert data.components() is data.components()


def test_genes_missing_in_one_slice(files, data):
    some = BenchmarkData(files, "domain", SETTINGS, missing_genes=0.33)
    assert [item.name for item in some.slices] == [item.name for item in data.slices]
    genes = [adata.n_vars for adata in some.sources]
    assert genes[1] == genes[2] and genes[0] == genes[1] - round(0.33 * genes[1])
    assert [len(rows) for _, rows in some.rows] == [adata.n_obs for adata in some.sources]
    counts, shared = some.counts()
    assert shared == list(some.sources[0].var_names)
    for part, (_, rows), full in zip(counts, data.rows, data.counts()[0], strict=True):
        columns = [data.counts()[1].index(gene) for gene in shared]
        assert (part != full[:, columns]).nnz == 0 and part.shape[0] == len(rows)
    assert some.sources_without(0) == some.sources[1:]
    again = BenchmarkData(files, "domain", SETTINGS, missing_genes=0.33)
    assert list(again.sources[0].var_names) == shared
    with pytest.raises(ValueError, match="got 1.0"):
        BenchmarkData(files, "domain", SETTINGS, missing_genes=1.0)
