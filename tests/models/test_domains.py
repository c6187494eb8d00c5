import math

import numpy as np
import pytest

from stofm_pyg.models import Domains
from tests.models.fit_case import fitted, make_tissue


def make_blobs(sizes=(100, 60, 40), spread=0.05, seed=0):
    """Three groups far from one another; the last two are nearest."""
    rng = np.random.default_rng(seed)
    centers = np.array([[0.0, 0, 0, 0], [5, 6, 5, -6], [5, 3, 5, -9]])
    number = np.repeat(np.arange(3), sizes)
    return centers[number] + spread * rng.normal(size=(sum(sizes), 4)), number


def agrees(domains, number):
    """Whether each of one is one of the other."""
    pairs = set(zip(domains, number, strict=True))
    return len(pairs) == len(set(domains)) == len(set(number))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_number_that_halves_agree_on(seed):
    z, number = make_blobs(seed=seed)
    domains = Domains.fit(z, seed=seed)
    found = domains.assign(z)
    assert domains.n == 3 and agrees(found, number)
    assert list(found.categories) == ["0", "1", "2"]
    assert str(found[0]) == "0"  # The largest comes first.


def test_the_number_asked_for():
    z, number = make_blobs()
    three = Domains.fit(z, n=3).assign(z)
    assert agrees(three, number)
    two = Domains.fit(z, n=2).assign(z)
    assert agrees(two, np.minimum(number, 1))
    one = Domains.fit(z, n=1)
    assert set(one.assign(z)) == {"0"}


def test_leiden_chooses_by_its_resolution():
    z, number = make_blobs()
    few, many = Domains.fit(z, resolution=0.05), Domains.fit(z, resolution=3.0)
    assert few.n == 3 and agrees(few.assign(z), number) and many.n > 3


def test_fewer_are_joins_of_more():
    z = np.random.default_rng(0).normal(size=(400, 4))
    domains = Domains.fit(z, n=8)
    cuts = {n: np.asarray(domains.assign(z, n)) for n in range(1, 13)}
    for n in range(1, 12):
        pairs = set(zip(cuts[n + 1], cuts[n], strict=True))
        assert len(pairs) == n + 1 == len(set(cuts[n + 1]))  # Each lies in one.
    assert (cuts[8] == np.asarray(domains.assign(z))).all()


def test_the_same_for_the_same_seed(tmp_path):
    z = np.random.default_rng(0).normal(size=(300, 4))
    first, again = Domains.fit(z, n=5, seed=1), Domains.fit(z, n=5, seed=1)
    assert (first.assign(z) == again.assign(z)).all()
    np.testing.assert_array_equal(first.merges, again.merges)
    other = Domains.fit(z, n=5, seed=2)
    assert not np.array_equal(first.centers, other.centers)


def test_the_scale_of_a_channel_does_not_matter():
    z, _ = make_blobs()
    scaled = z * np.array([1.0, 100.0, 1e-3, 7.0]) + 5
    assert (Domains.fit(z, n=4).assign(z) == Domains.fit(scaled, n=4).assign(scaled)).all()
    flat = np.concatenate([z, np.ones((len(z), 1))], axis=1)
    assert (Domains.fit(flat, n=3).assign(flat) == Domains.fit(z, n=3).assign(z)).all()


def test_saved_and_loaded(tmp_path):
    z, _ = make_blobs()
    domains = Domains.fit(z, n=3)
    domains.save(tmp_path)
    loaded = Domains.load(tmp_path)
    new, number = make_blobs(seed=9)
    assert loaded.n == 3 and agrees(loaded.assign(new), number)
    assert repr(loaded) == repr(domains) == "Domains(n=3, small=20)"
    np.testing.assert_array_equal(loaded.centers, domains.centers)


def test_bad_input():
    z, _ = make_blobs()
    with pytest.raises(ValueError, match="Pass 'n' or 'resolution', not both .got 3 and 0.5"):
        Domains.fit(z, n=3, resolution=0.5)
    with pytest.raises(ValueError, match="4 cells cannot be divided into 5 domains"):
        Domains.fit(z[:4], n=5)
    with pytest.raises(ValueError, match="1 cells cannot be divided"):
        Domains.fit(z[:1])
    for n in (0, -3, 2.5, "2"):
        with pytest.raises(ValueError, match="'n' must be a whole number of 1 or more"):
            Domains.fit(z, n=n)
    for resolution in (0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="'resolution' must be positive and finite"):
            Domains.fit(z, resolution=resolution)
    with pytest.raises(ValueError, match=r"shape \[20, 3\], domains were found in ones of \d+ channels"):
        Domains.fit(z).assign(np.zeros((20, 3)))
    with pytest.raises(ValueError, match=r"'n' must lie between 1 and 20 \(got 21\)"):
        Domains.fit(z).assign(z, 21)


def test_few_and_equal_cells():
    z = np.zeros((6, 2))
    assert set(Domains.fit(z, n=2).assign(z)) == {"0"}
    three = np.eye(3)
    assert len(set(Domains.fit(three, n=3).assign(three))) == 3
    assert len(Domains.fit(three).assign(three)) == 3


def test_domains_of_a_model_are_shared_and_saved(tmp_path):
    from stofm_pyg.models import SToFM

    model, adata = fitted(), make_tissue()
    fitted().save_pretrained(tmp_path / "a")
    model = SToFM.from_pretrained(tmp_path / "a")
    parts = [adata[adata.obs["slice"] == name].copy() for name in ("slice0", "slice1")]
    found = model.domains(parts, n=3)
    assert found is model.found_domains and found.n == 3
    together = np.concatenate([part.obs["stofm_domain"].astype(str) for part in parts])
    assert set(together) == {"0", "1", "2"}
    for part in parts:
        assert list(part.obs["stofm_domain"].cat.categories) == ["0", "1", "2"]
    model.domains(adata, n=3, key_added="mine")
    assert (adata.obs["mine"].astype(str).to_numpy() == together).all()
    assert "stofm_domain" not in adata.obs and "X_stofm" not in adata.obsm
    # In another slice, by the model that was saved.
    model.save_pretrained(tmp_path / "b")
    other = make_tissue(num_slices=1, seed=5)
    again = SToFM.from_pretrained(tmp_path / "b")
    assert again.predict(other) is other
    expected = found.assign(model.embed_anndata(other).numpy())
    assert (other.obs["stofm_domain"].to_numpy() == np.asarray(expected)).all()
    assert again.predict(other, "domains", key_added="d").obs["d"].equals(
        other.obs["stofm_domain"].rename("d")
    )
    with pytest.raises(TypeError, match="Expected an AnnData to write to, got str"):
        model.domains("a.h5ad")
