import numpy as np
import pytest

from benchmarks.data import BenchmarkData
from benchmarks.methods.fine_tuned import FineTuned
from benchmarks.splits import cell_labels, make_folds
from stofm_pyg.data import SliceSettings
from stofm_pyg.datasets import generate_tissue
from tests.models.fit_case import CONFIG

SETTINGS = SliceSettings(radius=2.5, max_clusters=8, cells_per_part=40, num_features=5)


@pytest.fixture(scope="module")
def adata():
    return generate_tissue(
        2, 100, num_genes=40, num_unobserved=0, num_domains=3, num_cell_types=3, seed=0
    )


def predicted(adata, split):
    data = BenchmarkData([adata], "cell_type", SETTINGS, "tiny")
    method = FineTuned("tiny", config=CONFIG, device="cpu", num_workers=0)
    folds = make_folds(split, data.slices, "cell_type", 0)
    return data, folds, method, method.predict(data, folds, seed=0)


def test_it_is_what_a_user_calls(adata):
    data, folds, method, found = predicted(adata, "cross")
    model = method.fit(data, 0)
    names = adata.obs["slice"].unique()
    for number, name in enumerate(names):
        taught = adata[adata.obs["slice"] != name].copy()
        asked = adata[adata.obs["slice"] == name].copy()
        model.finetune(taught, "cell_type", progress=False)
        codes = model.predict(asked, "cell_type").obs["stofm_cell_type"].astype(str)
        assert [data.classes[code] for code in found[number]] == list(codes)
    truth = [cell_labels(item, "cell_type") for item in data.slices]
    assert np.mean(np.concatenate(found) == np.concatenate(truth)) > 0.5


def test_labels_of_test_cells_have_no_part(adata):
    data, folds, _, found = predicted(adata, "blocks")
    assert all((part >= 0).all() for part in found)
    # The cells of one fold have other labels: the predictions of that fold are the same.
    other, rows = adata.copy(), data.rows[folds[0].slice][1]
    codes = other.obs["cell_type"].cat.codes.to_numpy().copy()
    codes[rows[folds[0].test]] = (codes[rows[folds[0].test]] + 1) % 3
    other.obs["cell_type"] = other.obs["cell_type"].cat.categories[codes]
    again = predicted(other, "blocks")[3]
    test = folds[0].test
    assert np.array_equal(again[folds[0].slice][test], found[folds[0].slice][test])
