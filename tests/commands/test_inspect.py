import json

import anndata
import numpy as np
import pandas as pd
import pytest

from stofm_pyg.cli import main
from stofm_pyg.commands.estimate import estimate, num_steps
from stofm_pyg.data import GeneVocab, slices_from_anndata
from stofm_pyg.datasets import generate_tissue
from stofm_pyg.train import PRESETS


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    """Two slices of one tissue, in a file each; the second knows no domains."""
    folder = tmp_path_factory.mktemp("slices")
    tissue = generate_tissue(num_slices=2, cells_per_slice=150, num_genes=60, seed=3)
    out = []
    for name in ("slice0", "slice1"):
        part = tissue[tissue.obs["slice"] == name].copy()
        if name == "slice1":
            del part.obs["domain"]
        part.write_h5ad(folder / f"{name}.h5ad")
        out.append(str(folder / f"{name}.h5ad"))
    return out


def inspect(capsys, *args):
    assert main(["inspect", *map(str, args)]) == 0
    return capsys.readouterr().out


def report_of(capsys, *args):
    return json.loads(inspect(capsys, *args, "--json"))


def test_what_would_be_used(slices, capsys):
    report = report_of(capsys, *slices)
    assert report["settings"]["radius"] == 8.0 and "signal" not in report
    first, second = report["sources"]
    assert (first["name"], first["format"], first["cells"], first["genes"]) == (
        "slice0",
        "h5ad",
        150,
        60,
    )
    assert first["slice_key"] == "slice" and first["path"] == slices[0]
    adata = anndata.read_h5ad(slices[0])
    counts = first["counts"]
    assert counts["raw"] and counts["where"] == "X" and counts["cells_looked_at"] == 150
    assert counts["seen"] == "all values are whole and none is negative"
    assert counts["per_cell"] == np.median(np.asarray(adata.X.sum(axis=1)))
    assert counts["values_per_cell"] == adata.X.nnz / 150
    assert first["gene_names"]["naming"] == "symbol" and first["gene_names"]["repeated"] == 0
    assert first["labels"]["domain"] == {"classes": adata.obs["domain"].nunique(), "unlabelled": 0}
    assert "domain" not in second["labels"] and "cell_type" in second["labels"]


def test_the_graph_is_that_of_the_slices(slices, capsys):
    args = ["--radius", 2.5, "--cells-per-part", 50, "--max-clusters", 7]
    (found,) = report_of(capsys, slices[0], *args)["sources"][0]["slices"]
    (data,) = slices_from_anndata(slices[0], radius=2.5, cells_per_part=50, max_clusters=7)
    assert found["degree"] == pytest.approx(data.edge_index.size(1) / 150)
    alone = 150 - data.edge_index[0].unique().numel()
    assert found["isolated"] == alone and found["subpatches"] == 3
    assert found["virtual_cells_at_most"] == 7
    pos = anndata.read_h5ad(slices[0]).obsm["spatial"]
    at = data.pos[:150].numpy()
    scale = np.linalg.norm(pos[0] - pos[1]) / np.linalg.norm(at[0] - at[1])
    assert found["spacing"] == found["unit_in_file"] == pytest.approx(scale, rel=1e-4)
    micron = report_of(capsys, slices[0], "--unit", "micron", "--microns-per-unit", 2, "--radius", 100)
    found = micron["sources"][0]["slices"][0]
    (data,) = slices_from_anndata(slices[0], unit="micron", microns_per_unit=2.0, radius=100.0)
    assert found["degree"] == pytest.approx(data.edge_index.size(1) / 150)
    assert found["unit_in_file"] == 0.5 and found["spacing_in_microns"] == pytest.approx(
        2 * scale, rel=1e-4
    )


def test_a_large_slice_is_looked_at_in_part(capsys, tmp_path, monkeypatch):
    from stofm_pyg.commands import glimpse

    monkeypatch.setattr(glimpse, "MOST_CELLS", 50)
    tissue = generate_tissue(num_slices=1, cells_per_slice=120, num_genes=60)
    tissue.write_h5ad(tmp_path / "a.h5ad")
    seen = glimpse.glimpse(tmp_path / "a.h5ad")
    assert len(seen.rows) == 50 and seen.rows[0] == 0 and seen.rows[-1] == 119
    assert (seen.values["X"] != tissue.X[seen.rows]).nnz == 0
    text = inspect(capsys, tmp_path / "a.h5ad")
    assert "in 50 cells (those looked at)" in text


@pytest.mark.parametrize("kind", ["dense", "csc", "zarr"])
def test_however_it_is_kept(slices, capsys, tmp_path, kind):
    adata = anndata.read_h5ad(slices[0])
    expected = report_of(capsys, slices[0])["sources"][0]
    path = tmp_path / ("slice0.zarr" if kind == "zarr" else "slice0.h5ad")
    if kind == "zarr":
        pytest.importorskip("zarr", reason="zarr comes with the extra 'readers'")
        adata.write_zarr(path)
    else:
        adata.X = adata.X.toarray() if kind == "dense" else adata.X.tocsc()
        adata.write_h5ad(path)
    found = report_of(capsys, path)["sources"][0]
    assert found.pop("path") == str(path) and expected.pop("path") == slices[0]
    assert found.pop("format") == ("AnnData zarr" if kind == "zarr" else "h5ad")
    assert found == {key: value for key, value in expected.items() if key != "format"}


def test_vocabulary(slices, capsys, tmp_path):
    adata = anndata.read_h5ad(slices[0])[:, :45].copy()
    GeneVocab.from_slices([adata]).save(tmp_path / "v.json")
    known = report_of(capsys, slices[0], "--vocab", tmp_path / "v.json")["sources"][0]["vocabulary"]
    whole = anndata.read_h5ad(slices[0])
    assert known["matched"] == 45 and known["share_counts"] == pytest.approx(
        adata.X.sum() / whole.X.sum()
    )
    assert set(known["not_matched"]) <= set(whole.var_names[45:])
    whole.var_names = [f"X{name}" for name in whole.var_names]
    whole.write_h5ad(tmp_path / "other.h5ad")
    source = report_of(capsys, tmp_path / "other.h5ad", "--vocab", tmp_path / "v.json")["sources"][0]
    assert source["vocabulary"]["matched"] == 0
    assert any("No gene is in the vocabulary" in text for text in source["warnings"])


def test_names_of_genes(slices, capsys, tmp_path):
    adata = anndata.read_h5ad(slices[0])
    adata.var["id"] = [f"ENSMUSG{number:011d}" for number in range(60)]
    adata.var_names = [f"mm10___Gene{number}" for number in range(59)] + ["mm10___Gene0"]
    adata.write_h5ad(tmp_path / "a.h5ad")
    source = report_of(capsys, tmp_path / "a.h5ad")["sources"][0]
    names = source["gene_names"]
    assert (names["species"], names["naming"], names["genome"]) == ("mouse", "symbol", "mm10")
    assert names["other_columns"] == {"id": "ensembl"} and names["repeated"] == 1
    assert "1 names of genes are there more than once" in source["warnings"]


def test_where_counts_are(slices, capsys, tmp_path):
    adata = anndata.read_h5ad(slices[0])
    adata.layers["raw"] = adata.X.copy()
    adata.raw = adata.copy()
    adata.X.data = np.log1p(adata.X.data)
    adata.write_h5ad(tmp_path / "log.h5ad")
    source = report_of(capsys, tmp_path / "log.h5ad")["sources"][0]
    assert not source["counts"]["raw"] and "fractional values" in source["counts"]["seen"]
    assert source["counts"]["also_in"] == ["layers['raw']", "raw"]
    assert "X holds no counts, but layers['raw'] does: pass --layer raw" in source["warnings"]
    source = report_of(capsys, tmp_path / "log.h5ad", "--layer", "raw")["sources"][0]
    assert source["counts"]["raw"] and source["counts"]["where"] == "layers['raw']"
    del adata.layers["raw"]
    adata.write_h5ad(tmp_path / "log.h5ad")
    text = inspect(capsys, tmp_path / "log.h5ad")
    assert "but raw does: convert the file by 'stofm convert --raw'" in text and "about" not in text
    assert main(["inspect", str(tmp_path / "log.h5ad"), "--layer", "rwa"]) == 2
    assert "rwa" in capsys.readouterr().err


def test_warnings(capsys, tmp_path):
    tissue = generate_tissue(num_slices=1, cells_per_slice=100, num_genes=20)
    tissue.X.data[:] = 1
    tissue.write_h5ad(tmp_path / "a.h5ad")
    warnings = report_of(capsys, tmp_path / "a.h5ad", "--radius", 0.01)["sources"][0]["warnings"]
    for words in ("20 genes only", "above 1", "100 cells only", "neighbours within the radius"):
        assert any(words in text for text in warnings), words
    text = inspect(capsys, tmp_path / "a.h5ad")
    assert text.index("warnings") < text.index("There are 20 genes only")


def test_a_unit_that_is_known(slices, capsys, tmp_path):
    adata = anndata.read_h5ad(slices[0])
    adata.uns["spatial_unit"] = "micron"
    adata.write_h5ad(tmp_path / "a.h5ad")
    source = report_of(capsys, tmp_path / "a.h5ad")["sources"][0]
    assert source["unit_of_file"] == "micron"
    (found,) = source["slices"]
    assert found["spacing_in_microns"] == found["spacing"]
    assert f"({found['spacing']:.3g} microns, of" in inspect(capsys, tmp_path / "a.h5ad")


def test_steps_are_those_of_the_configuration():
    small, paper = PRESETS["small"].stage_1, PRESETS["paper"].stage_1
    assert num_steps(small, [3250, 100], 5) == 60 * 11
    assert num_steps(small, [32500], 33) == small.max_steps == 1000
    assert num_steps(paper, [32500], 33) == paper.num_epochs * 9


def test_estimate():
    def source(cells, genes):
        counts = {"raw": True, "values_per_cell": genes}
        return {
            "cells": cells,
            "counts": counts,
            "slices": [{"cells": cells, "subpatches": cells // 1000}],
        }

    little, much = (estimate([source(cells, 100)], "small") for cells in (3_000, 30_000))
    assert 10 < little["fit"]["seconds"] < 200 < 10 * little["fit"]["seconds"]
    assert much["fit"]["seconds"] > little["fit"]["seconds"]
    assert much["embed"]["seconds"] == pytest.approx(10 * little["embed"]["seconds"])
    assert 0.5 * 2**30 < little["fit"]["bytes"] < much["fit"]["bytes"] < 2 * 2**30
    both = estimate([source(3_000, 100), source(3_000, 100)], "small")
    assert both["fit"]["steps"] == min(1000, 2 * little["fit"]["steps"])
    without = source(3_000, 100)
    without["counts"]["raw"] = False
    assert estimate([without], "small")["fit"] is None


def test_text(slices, capsys):
    text = inspect(capsys, slices[0])
    lines = {line[:32].strip(): line[32:] for line in text.splitlines()}
    assert lines["slice0"] == "h5ad, 150 cells of 60 genes"
    assert lines["cells"].split() == ["150"] and lines["slices"] == "1; obs['slice'] tells them apart"
    assert lines["fit"].startswith("about ") and "steps), 0." in lines["fit"]
    assert "Moran" not in text


def test_signal(slices, capsys):
    report = report_of(capsys, *slices, "--signal")["signal"]
    assert report["raw_counts"] and report["genes"] == 60
    assert [one["name"] for one in report["slices"]] == ["slice0", "slice1"]
    assert [one["cells"] for one in report["slices"]] == [150, 150]
    assert len(report["moran"]) == 5 and report["moran"] == sorted(report["moran"], reverse=True)
    assert report["predicted_on"] == "each slice left out in turn"
    assert report["labels"]["domain"]["unlabelled"] == 150
    assert sum(report["labels"]["domain"]["cells"].values()) == 150
    assert sum(report["labels"]["cell_type"]["cells"].values()) == 300
    assert 0 < report["labels"]["domain"]["share_between"] < 1


def test_signal_of_one_slice_is_that_of_its_halves(slices, capsys):
    text = inspect(capsys, slices[0], "--signal", "--label", "cell_type")
    text = text[text.index("\nsignal\n") :]
    assert "each half of the slice" in text and "cell_type: variance between" in text
    assert "domain" not in text


def test_generated(capsys):
    text = inspect(capsys, "--generated")
    for name in ("generated", "AnnData, 3,000 cells", "domain (", "subpatches"):
        assert name in text


def test_signal_without_counts(capsys, tmp_path):
    tissue = generate_tissue(num_slices=1, cells_per_slice=100, num_genes=20)
    tissue.X.data = np.log1p(tissue.X.data)
    tissue.write_h5ad(tmp_path / "log.h5ad")
    text = inspect(capsys, tmp_path / "log.h5ad", "--signal")
    assert "Pass --layer" in text and "Moran" not in text


def test_where_slices_are_told_apart(capsys, tmp_path):
    tissue = generate_tissue(num_slices=2, cells_per_slice=100, num_genes=20)
    tissue.obs["section"] = pd.Categorical(tissue.obs.pop("slice"))
    tissue.write_h5ad(tmp_path / "two.h5ad")
    report = report_of(capsys, tmp_path / "two.h5ad", "--slice-key", "section", "--signal")
    assert len(report["sources"][0]["slices"]) == 2 and len(report["signal"]["slices"]) == 2
    assert report["sources"][0]["slice_key"] == "section"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "Name files or folders, or pass --generated"),
        (["a.h5ad", "--generated"], "one of the two"),
        (["none.h5ad"], "There is no file 'none.h5ad'"),
    ],
)
def test_bad_calls(args, message, capsys):
    assert main(["inspect", *args]) == 2
    assert message in capsys.readouterr().err


def test_unknown_label_and_slice_key(slices, capsys):
    assert main(["inspect", slices[0], "--signal", "--label", "region"]) == 2
    assert "region" in capsys.readouterr().err
    assert main(["inspect", slices[0], "--slice-key", "section"]) == 2
    assert "section" in capsys.readouterr().err


@pytest.mark.realdata
def test_real_slices(real_slices, capsys):
    report = report_of(capsys, real_slices / "starmap_mpfc.h5ad", "--signal")
    signal = report["signal"]
    assert signal["genes"] == 166 and len(signal["slices"]) == 3
    np.testing.assert_allclose(signal["moran"], [0.66, 0.32, 0.24, 0.18, 0.18], atol=0.01)
    assert signal["ring_prediction"] == pytest.approx(0.174, abs=0.01)
    assert signal["labels"]["domain"]["share_between"] == pytest.approx(0.128, abs=0.005)
    assert signal["labels"]["cell_type"]["share_between"] == pytest.approx(0.319, abs=0.01)
    (source,) = report["sources"]
    assert source["gene_names"]["species"] == "mouse" and source["labels"]["domain"]["classes"] == 4
    assert [part["cells"] for part in source["slices"]] == [1049, 1053, 1088]
