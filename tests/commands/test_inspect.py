import json

import numpy as np
import pandas as pd
import pytest

from stofm_pyg.cli import main
from stofm_pyg.datasets import generate_tissue


@pytest.fixture(scope="module")
def files(tmp_path_factory):
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


def test_json(files, capsys):
    report = json.loads(inspect(capsys, *files, "--json"))
    assert report["raw_counts"] and report["genes"] == 60
    assert [one["name"] for one in report["slices"]] == ["slice0", "slice1"]
    assert [one["cells"] for one in report["slices"]] == [150, 150]
    assert len(report["moran"]) == 5 and report["moran"] == sorted(report["moran"], reverse=True)
    assert report["predicted_on"] == "each slice left out in turn"
    assert report["labels"]["domain"]["unlabelled"] == 150
    assert sum(report["labels"]["domain"]["cells"].values()) == 150
    assert sum(report["labels"]["cell_type"]["cells"].values()) == 300
    assert 0 < report["labels"]["domain"]["share_between"] < 1


def test_one_slice_is_cut_into_halves(files, capsys):
    text = inspect(capsys, files[0], "--label", "cell_type")
    assert "each half of the slice" in text and "cell_type: variance between" in text
    assert "domain" not in text
    assert [line.split()[-1] for line in text.splitlines() if line.startswith("cells  ")] == ["150"]


def test_radius_and_parts(files, capsys):
    near, far = (
        json.loads(inspect(capsys, files[0], "--json", "--radius", radius, "--cells-per-part", 50))
        for radius in (0.01, 4)
    )
    assert near["slices"][0]["degree"] < 0.2 and near["slices"][0]["isolated"] > 100
    assert far["slices"][0]["degree"] > 10 and far["slices"][0]["isolated"] == 0
    assert far["slices"][0]["subpatches"] == 3


def test_generated(capsys):
    text = inspect(capsys, "--generated")
    for name in ("slices", "raw counts", "Moran's I", "domain: variance between", "subpatches"):
        assert name in text
    assert "1,000" in text


def test_what_is_no_counts(files, capsys, tmp_path):
    tissue = generate_tissue(num_slices=1, cells_per_slice=100, num_genes=20)
    tissue.layers["raw"] = tissue.X.copy()
    tissue.X.data = np.log1p(tissue.X.data)
    tissue.write_h5ad(tmp_path / "log.h5ad")
    text = inspect(capsys, tmp_path / "log.h5ad")
    assert "no: " in text and "fractional values" in text and "Pass --layer" in text
    assert "Moran" not in text and "spacing" in text
    assert "raw counts                      yes" in inspect(
        capsys, tmp_path / "log.h5ad", "--layer", "raw"
    )


def test_where_slices_are_told_apart(capsys, tmp_path):
    tissue = generate_tissue(num_slices=2, cells_per_slice=100, num_genes=20)
    tissue.obs["section"] = pd.Categorical(tissue.obs.pop("slice"))
    tissue.write_h5ad(tmp_path / "two.h5ad")
    report = json.loads(inspect(capsys, tmp_path / "two.h5ad", "--slice-key", "section", "--json"))
    assert len(report["slices"]) == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "Name h5ad files, or pass --generated"),
        (["a.h5ad", "--generated"], "one of the two"),
        (["none.h5ad"], "no file 'none.h5ad'"),
    ],
)
def test_bad_calls(args, message, capsys):
    assert main(["inspect", *args]) == 2
    assert message in capsys.readouterr().err


def test_unknown_label_and_slice_key(files, capsys):
    assert main(["inspect", files[0], "--label", "region"]) == 2
    assert "region" in capsys.readouterr().err
    assert main(["inspect", files[0], "--slice-key", "section"]) == 2
    assert "section" in capsys.readouterr().err


@pytest.mark.realdata
def test_real_slices(real_slices, capsys):
    report = json.loads(inspect(capsys, real_slices / "starmap_mpfc.h5ad", "--json"))
    assert report["genes"] == 166 and len(report["slices"]) == 3
    np.testing.assert_allclose(report["moran"], [0.66, 0.32, 0.24, 0.18, 0.18], atol=0.01)
    assert report["ring_prediction"] == pytest.approx(0.174, abs=0.01)
    assert report["labels"]["domain"]["share_between"] == pytest.approx(0.128, abs=0.005)
    assert report["labels"]["cell_type"]["share_between"] == pytest.approx(0.319, abs=0.01)
