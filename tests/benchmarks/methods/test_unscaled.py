import numpy as np
import pytest

from benchmarks.data import BenchmarkData
from benchmarks.methods.unscaled import UnscaledFitted, equal_components
from tests.models.fit_case import CONFIG, SETTINGS, make_tissue


@pytest.fixture(scope="module")
def data():
    return BenchmarkData([make_tissue()], "domain", SETTINGS)


def test_components_have_equal_variance(data):
    features = equal_components(data.sources, SETTINGS)
    adata = make_tissue()
    x = np.concatenate([features.encode(adata[adata.obs["slice"] == name].copy()).numpy()
                        for name in ("slice0", "slice1")])  # fmt: skip
    assert x.std(axis=0) == pytest.approx(np.ones(5), abs=1e-3)


def test_it_is_another_embedding_of_the_same_cells(data):
    x = UnscaledFitted("tiny", CONFIG, device="cpu", num_workers=0, features="pca").embed(data)
    assert [len(part) for part in x] == [100, 100] and np.isfinite(x[0]).all()
    with pytest.raises(ValueError, match="'tokens' are no components"):
        UnscaledFitted("tiny", CONFIG, features="tokens").embed(data)
