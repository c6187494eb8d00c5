import numpy as np
import pytest
import scipy.sparse as sp
from anndata import read_h5ad
from scipy.spatial import cKDTree
from scipy.stats import chi2_contingency
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stofm_pyg.datasets import generate_tissue
from stofm_pyg.models import tissue_signal


@pytest.fixture(scope="module")
def tissue():
    return generate_tissue(seed=0)


def codes(adata, column):
    return adata.obs[column].cat.codes.to_numpy()


def assert_equal(one, other):
    assert (one.X != other.X).nnz == 0
    assert (one.obsm["unobserved_counts"] != other.obsm["unobserved_counts"]).nnz == 0
    np.testing.assert_array_equal(one.obsm["spatial"], other.obsm["spatial"])
    np.testing.assert_array_equal(one.uns["unobserved_genes"], other.uns["unobserved_genes"])
    assert list(one.var_names) == list(other.var_names)
    assert one.obs.equals(other.obs)


def test_same_seed_gives_same_tissue():
    arguments = {"num_slices": 2, "cells_per_slice": 150, "num_genes": 30, "seed": 7}
    assert_equal(generate_tissue(**arguments), generate_tissue(**arguments))


def test_global_random_state_is_left_alone():
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    generate_tissue(num_slices=1, cells_per_slice=100, num_genes=10)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_other_seed_gives_other_tissue():
    one, other = (
        generate_tissue(num_slices=1, cells_per_slice=150, num_genes=30, seed=seed)
        for seed in (1, 2)
    )
    assert (one.X != other.X).nnz > 500
    assert not np.isclose(one.obsm["spatial"], other.obsm["spatial"]).any(axis=1).any()
    assert (codes(one, "domain") != codes(other, "domain")).any()
    assert not np.allclose(one.uns["tissue"]["composition"], other.uns["tissue"]["composition"])


def test_more_slices_leave_the_first_as_they_are():
    few = generate_tissue(num_slices=1, cells_per_slice=150, num_genes=30)
    many = generate_tissue(num_slices=3, cells_per_slice=150, num_genes=30)[:150]
    assert (few.X != many.X).nnz == 0
    np.testing.assert_array_equal(few.obsm["spatial"], many.obsm["spatial"])
    np.testing.assert_array_equal(codes(few, "domain"), codes(many, "domain"))


def test_what_it_holds(tissue):
    assert tissue.shape == (3000, 200)
    assert sp.issparse(tissue.X) and tissue.X.format == "csr" and tissue.X.dtype == np.float32
    assert list(tissue.obs) == ["slice", "domain", "cell_type"]
    assert list(tissue.obs["slice"].cat.categories) == ["slice0", "slice1", "slice2"]
    assert list(tissue.obs["slice"]) == ["slice0"] * 1000 + ["slice1"] * 1000 + ["slice2"] * 1000
    assert list(tissue.obs["domain"].cat.categories) == [
        *("layer0", "layer1", "layer2", "layer3"),
        *("core0", "rim0"),
    ]
    assert list(tissue.obs["cell_type"].cat.categories) == [f"type{i:02d}" for i in range(10)]
    assert tissue.obs_names.is_unique
    positions = tissue.obsm["spatial"]
    assert positions.shape == (3000, 2) and positions.dtype == np.float64
    assert np.isfinite(positions).all()


def test_unobserved_genes_are_not_in_the_panel(tissue):
    unobserved = tissue.uns["unobserved_genes"]
    assert tissue.obsm["unobserved_counts"].shape == (3000, 20)
    assert tissue.obsm["unobserved_counts"].format == "csr"
    assert tissue.obsm["unobserved_counts"].nnz > 5000
    assert len(unobserved) == 20 and not set(unobserved) & set(tissue.var_names)
    assert sorted([*unobserved, *tissue.var_names]) == [f"gene{i:03d}" for i in range(220)]


def test_every_slice_has_every_class(tissue):
    for column, least in (("domain", 50), ("cell_type", 1)):
        table = tissue.obs.groupby(["slice", column], observed=False).size().unstack()
        assert table.to_numpy().min() >= least


def test_smallest_slices_have_every_class():
    for seed in range(5):
        adata = generate_tissue(
            num_slices=2, cells_per_slice=200, num_genes=5, num_domains=20, num_cell_types=20,
            seed=seed,
        )  # fmt: skip
        for column in ("domain", "cell_type"):
            table = adata.obs.groupby(["slice", column], observed=False).size()
            assert table.size == 40 and table.min() >= 1


def test_counts_are_whole_overdispersed_and_sparse(tissue):
    for counts in (tissue.X, tissue.obsm["unobserved_counts"]):
        assert (counts.data > 0).all() and (counts.data == np.round(counts.data)).all()
    # Within one type, domain and slice, so that biology does not make the spread.
    group = tissue.obs.groupby(["slice", "domain", "cell_type"], observed=True).indices
    counts = tissue.X[max(group.values(), key=len)].toarray()
    mean, variance = counts.mean(axis=0), counts.var(axis=0)
    assert np.median(variance[mean > 1] / mean[mean > 1]) > 1.3
    zeros = 1 - tissue.X.nnz / np.prod(tissue.shape)
    assert 0.55 < zeros < 0.8
    assert zeros > np.exp(-tissue.X.mean(axis=0)).mean() + 0.05  # More than Poisson has.


def test_cell_types_are_shared_and_mixed_differently(tissue):
    table = np.zeros((6, 10), dtype=int)
    np.add.at(table, (codes(tissue, "domain"), codes(tissue, "cell_type")), 1)
    assert chi2_contingency(table).pvalue < 1e-50
    assert ((table >= 5).sum(axis=0) >= 4).all()  # Every type lies in most domains.
    assert (table / table.sum(axis=1, keepdims=True)).max() < 0.6


def test_slices_differ_by_a_batch_effect(tissue):
    of_slice = [tissue.X[codes(tissue, "slice") == i] for i in range(3)]
    profile = np.log(np.stack([np.asarray(counts.mean(axis=0))[0] for counts in of_slice]))
    change = profile[0] - profile[1]
    assert 0.3 < np.std(change) < 0.6
    depth = [np.median(np.asarray(counts.sum(axis=1))) for counts in of_slice]
    assert max(depth) / min(depth) > 1.1


def test_slices_differ_in_rotation_and_scale(tissue):
    rotation, scale = tissue.uns["tissue"]["rotation"], tissue.uns["tissue"]["scale"]
    for i in range(3):
        for j in range(i):
            assert np.cos(rotation[i] - rotation[j]) < 0.5
            assert abs(np.log(scale[i] / scale[j])) > 0.1
    for i in range(3):
        positions = tissue.obsm["spatial"][codes(tissue, "slice") == i]
        assert 1.6 < np.ptp(positions, axis=0).mean() / scale[i] < 2.6


def test_spacing_is_irregular_but_not_degenerate(tissue):
    for i in range(3):
        positions = tissue.obsm["spatial"][codes(tissue, "slice") == i]
        distance = cKDTree(positions).query(positions, k=2)[0][:, 1]
        distance = distance / np.median(distance)
        assert (distance > 0).all()
        assert 0.015 <= (distance < 0.2).mean() <= 0.03  # Pairs that almost coincide.
        assert 0.2 < np.std(distance) < 0.6  # A lattice has 0.
        crowd = cKDTree(positions).query(positions, k=16)[0][:, -1]
        low, high = np.quantile(crowd, [0.05, 0.95])
        assert high / low > 1.5  # The density varies.


def test_domains_are_regions(tissue):
    for i in range(3):
        rows = codes(tissue, "slice") == i
        positions, domain = tissue.obsm["spatial"][rows], codes(tissue, "domain")[rows]
        near = cKDTree(positions).query(positions, k=7)[1][:, 1:]
        assert (domain[near] == domain[:, None]).mean() > 0.75
        rim, core = domain == 5, domain == 4
        assert (domain[near][core] >= 4).mean() > 0.9  # A core lies in its rim.
        assert (domain[near][rim] == 4).mean() > 0.1


def test_uns_says_where_it_comes_from(tissue):
    assert tissue.uns["source"] == (
        "generated by stofm_pyg.datasets.generate_tissue(num_slices=3, cells_per_slice=1000, "
        "num_genes=200, num_unobserved=20, num_domains=6, num_cell_types=10, seed=0)"
    )
    assert tissue.uns["tissue"]["num_cell_types"] == 10
    np.testing.assert_allclose(tissue.uns["tissue"]["composition"].sum(axis=1), 1)


def test_survives_a_file(tissue, tmp_path):
    tissue.copy().write_h5ad(tmp_path / "tissue.h5ad")
    back = read_h5ad(tmp_path / "tissue.h5ad")
    assert_equal(tissue, back)
    assert back.uns["source"] == tissue.uns["source"]
    np.testing.assert_array_equal(back.uns["tissue"]["rotation"], tissue.uns["tissue"]["rotation"])
    assert back.uns["tissue"]["seed"] == 0


# What `python -m stofm_pyg inspect --signal` measures on starmap_mpfc, merfish_hypothalamus,
# xenium_breast_roi, seqfish_mouse_embryo and dlpfc_3slices_7k: the lowest and the highest.
REAL = {
    "moran, best": (0.42, 1.23),
    "moran, fifth": (0.17, 0.68),
    "ring_prediction": (0.14, 0.46),
    "domain": (0.128, 0.295),
    "cell_type": (0.214, 0.319),
    "counts": (173, 1093),
    "zeros": (0.61, 0.91),
    "genes": (46, 639),
    "degree": (54, 201),
}


@pytest.mark.parametrize(("seed", "slack"), [(0, 1.0), (1, 1.2), (2, 1.2)])
def test_it_is_tissue_by_the_measures_of_real_slices(seed, slack):
    tissue = generate_tissue(seed=seed)
    rows = [np.flatnonzero(codes(tissue, "slice") == i) for i in range(3)]
    counts = [tissue.X[part] for part in rows]
    positions = [tissue.obsm["spatial"][part] for part in rows]
    components = tissue_signal.slice_components(counts)
    features = tissue_signal.spatial_features(components, positions)
    moran = tissue_signal.moran(components, positions)
    found = {
        "moran, best": moran[0],
        "moran, fifth": moran[4],
        "ring_prediction": tissue_signal.ring_prediction(features, positions),
        "counts": np.median(tissue_signal.library_sizes(tissue.X)),
        "zeros": tissue_signal.share_of_zeros(tissue.X),
        "genes": np.median(tissue_signal.genes_per_cell(tissue.X)),
        "degree": np.mean([tissue_signal.degrees(pos).mean() for pos in positions]),
    }
    for label in ("domain", "cell_type"):
        classes = [codes(tissue, label)[part] for part in rows]
        found[label] = tissue_signal.share_between(features, classes)
    outside = {
        name: (value, REAL[name])
        for name, value in found.items()
        if not REAL[name][0] / slack <= value <= REAL[name][1] * slack
    }
    assert not outside
    # Real slices have rare types and common ones: starmap_mpfc 45 to 516 of 3,190 cells.
    number = np.bincount(codes(tissue, "cell_type"))
    assert number.min() < 300 and number.max() > 400


def test_clumps_and_mixtures_make_domains(tissue):
    """Cells of a type lie together in every other pair of layers and apart in the others."""
    own = np.zeros(6)
    for domain in range(6):
        ratios = []
        for i in range(3):
            rows = codes(tissue, "slice") == i
            cells = rows & (codes(tissue, "domain") == domain)
            positions, types = tissue.obsm["spatial"][cells], codes(tissue, "cell_type")[cells]
            near = cKDTree(positions).query(positions, k=5)[1][:, 1:]
            alike = (types[near] == types[:, None]).mean()
            ratios.append(alike / np.square(np.bincount(types) / types.size).sum())
        own[domain] = np.mean(ratios)
    assert own[[2, 3, 4]].min() > own[[0, 1, 5]].max() + 0.2


def test_it_is_hard_in_the_right_way(tissue):
    """Context tells domains across slices; a cell alone tells less and coordinates tell nothing."""
    slices, domain = codes(tissue, "slice"), codes(tissue, "domain")
    positions = tissue.obsm["spatial"]
    log = tissue.X.toarray()
    log = np.log1p(1e4 * log / log.sum(axis=1, keepdims=True))
    for i in range(3):
        log[slices == i] -= log[slices == i].mean(axis=0)
    own = PCA(30, svd_solver="covariance_eigh").fit_transform(log)
    around = np.empty_like(own)
    for i in range(3):
        rows = np.flatnonzero(slices == i)
        near = cKDTree(positions[rows]).query(positions[rows], k=26)[1][:, 1:]
        around[rows] = own[rows][near].mean(axis=1)

    def across(features, classes, model):
        train = slices != 0
        fitted = make_pipeline(StandardScaler(), model).fit(features[train], classes[train])
        return f1_score(classes[~train], fitted.predict(features[~train]), average="macro")

    linear = LogisticRegression(C=0.1, max_iter=50, tol=1e-3)
    pca = across(own, domain, linear)
    neighbour_pca = across(np.hstack([own, around]), domain, linear)
    coordinates = across(positions, domain, KNeighborsClassifier(15))
    assert 0.4 < pca < 0.65
    assert pca + 0.05 < neighbour_pca < 0.85
    assert coordinates < pca - 0.05 and coordinates < 0.4
    assert 0.6 < across(own, codes(tissue, "cell_type"), linear) < 0.88

    # Within a slice, where one stands tells nearly everything.
    first = np.flatnonzero(slices == 0)
    test = np.random.default_rng(0).random(first.size) < 0.2
    nearest = KNeighborsClassifier(5).fit(positions[first[~test]], domain[first[~test]])
    predicted = nearest.predict(positions[first[test]])
    assert f1_score(domain[first[test]], predicted, average="macro") > 0.8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_slices": 0}, "num_slices must be at least 1, got 0; pass num_slices=1 or more"),
        ({"num_genes": -3}, "num_genes must be at least 1, got -3; pass num_genes=1 or more"),
        ({"num_unobserved": -1}, "num_unobserved must be at least 0, got -1"),
        ({"num_domains": 1}, "num_domains must be at least 2, got 1"),
        ({"seed": -5}, "seed must be at least 0, got -5"),
        (
            {"num_domains": 101},
            r"num_domains=101 needs at least 1010 cells in a slice \(10 for each\), "
            "got cells_per_slice=1000; use more cells or at most num_domains=100",
        ),
        (
            {"cells_per_slice": 70},
            "num_cell_types=10 needs at least 100 cells.* at most num_cell_types=7",
        ),
    ],
)
def test_bad_values(arguments, message):
    with pytest.raises(ValueError, match=message):
        generate_tissue(**arguments)


@pytest.mark.parametrize("value", [2.5, "2", None, True])
def test_no_whole_number(value):
    with pytest.raises(TypeError, match=f"num_slices must be a whole number, got {value!r}; pass"):
        generate_tissue(num_slices=value)


def test_numpy_numbers_are_numbers():
    adata = generate_tissue(np.int64(1), np.int32(100), num_genes=np.int64(4), seed=np.uint8(3))
    assert_equal(adata, generate_tissue(1, 100, num_genes=4, seed=3))
