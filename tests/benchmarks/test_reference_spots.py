import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from benchmarks.data import BenchmarkData
from benchmarks.profiles import nnls_proportions, reference_profiles
from benchmarks.reference_spots import reference_spots
from stofm_pyg.data import SliceSettings

TYPES = ["a", "b", "c"]
SETTINGS = SliceSettings(radius=2.5, max_clusters=4, num_features=5)


def make_reference(path, number=(30, 20, 10), genes=40, prefix="g", **obs):
    """Cells of three types, each with genes of its own."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(len(number)), number)
    rate = np.full((3, genes), 0.5)
    for code in range(3):
        rate[code, code::3] = 6.0
    names = [f"{prefix}{i}" for i in range(genes)]
    out = AnnData(
        sparse.csr_matrix(rng.poisson(rate[codes]).astype(np.float32)),
        pd.DataFrame({"cell_type": np.array(TYPES)[codes], **obs}, index=map(str, range(len(codes)))),
        pd.DataFrame(index=names),
    )
    out.write_h5ad(path)
    return str(path), rate


def make_spots(rate, genes=45, prefix="g"):
    """A slice whose first half is of type a, the other one of type c; five genes are its own."""
    rng = np.random.default_rng(1)
    codes = np.repeat([0, 2], 50)
    known = rng.poisson(10 * rate[codes])
    counts = np.concatenate([known, rng.poisson(3, size=(100, genes - rate.shape[1]))], axis=1)
    adata = AnnData(
        sparse.csr_matrix(counts.astype(np.float32)), pd.DataFrame(index=[f"s{i}" for i in range(100)]),
        pd.DataFrame(index=[f"{prefix}{i}" for i in range(genes)]),
    )  # fmt: skip
    adata.obsm["spatial"] = np.stack(np.divmod(np.arange(100.0), 10), axis=1)
    return BenchmarkData([adata], None, SETTINGS)


def test_simulated_slices_stand_beside_the_real_one(tmp_path):
    file, rate = make_reference(tmp_path / "reference.h5ad")
    spots = reference_spots(make_spots(rate), file, "cell_type", None, 20)
    assert spots.classes == TYPES
    assert (spots.real, spots.training, spots.testing) == ([0], [1, 2], [3])
    assert [item.num_nodes >= 100 for item in spots.data.slices] == [True] * 4
    assert np.isnan(spots.truth[0]).all()
    for number in (1, 2, 3):
        np.testing.assert_allclose(spots.truth[number].sum(axis=1), 1.0)
        np.testing.assert_array_equal(
            spots.data.sources[number].obsm["spatial"], spots.data.sources[0].obsm["spatial"]
        )
    assert spots.counts[0].shape == (100, 40)  # The five genes that the reference lacks are gone.
    assert not (spots.truth[1] == spots.truth[2]).all()
    # Depth is that of the real spots, or less where the cells have not so much.
    deep = [np.asarray(part.sum(axis=1)).mean() for part in spots.counts]
    assert deep[1] == pytest.approx(deep[0], rel=0.1)


def test_the_tested_slice_is_of_cells_that_nothing_was_learned_from(tmp_path):
    # Every cell has a gene that is its own.
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1, 2], [30, 20, 10])
    own = 50.0 * np.eye(60)
    counts = np.concatenate([own, rng.poisson(2, size=(60, 20))], axis=1).astype(np.float32)
    obs = pd.DataFrame({"cell_type": np.array(TYPES)[codes]}, index=[f"c{i}" for i in range(60)])
    var = pd.DataFrame(index=[f"g{i}" for i in range(80)])
    adata = AnnData(sparse.csr_matrix(counts), obs, var)
    adata.write_h5ad(tmp_path / "reference.h5ad")
    real = make_spots(np.full((3, 80), 2.0), genes=80)
    spots = reference_spots(real, str(tmp_path / "reference.h5ad"), "cell_type", None, 20)
    used = [set(np.flatnonzero(np.asarray(part[:, :60].sum(axis=0))[0])) for part in spots.counts[1:]]
    assert not used[2] & (used[0] | used[1])
    profiles = spots.trained[0][:, :60].toarray()
    assert set(np.flatnonzero(profiles.sum(axis=0))) >= used[0] | used[1]
    assert not set(np.flatnonzero(profiles.sum(axis=0))) & used[2]


def test_folds_train_on_simulated_slices_alone(tmp_path):
    file, rate = make_reference(tmp_path / "reference.h5ad")
    spots = reference_spots(make_spots(rate), file, "cell_type", None, 20)
    folds = spots.folds("cross", 0)
    assert [fold.slice for fold in folds] == [0, 3]
    for fold in folds:
        assert list(fold.train) == [1, 2] and fold.test.tolist() == list(range(100))
        assert spots.cells(fold.train) is spots.trained


def test_markers_agree_with_the_right_shares_and_not_with_wrong_ones(tmp_path):
    file, rate = make_reference(tmp_path / "reference.h5ad")
    spots = reference_spots(make_spots(rate), file, "cell_type", None, 20)
    profiles = reference_profiles(*spots.trained, 3)
    found = nnls_proportions(spots.counts[0], profiles)
    assert found[:50, 0].mean() > 0.9 and found[50:, 2].mean() > 0.9
    truth = np.repeat([[1.0, 0, 0], [0, 0, 1.0]], 50, axis=0)
    assert spots.marker_agreement(0, truth) > 0.6  # Type b is in no spot: 0 of three.
    assert spots.marker_agreement(0, truth[::-1]) < -0.6
    assert spots.marker_agreement(0, np.full((100, 3), 1 / 3)) == 0.0


def test_types_of_a_single_cell_are_left_out(tmp_path, caplog):
    file, rate = make_reference(tmp_path / "reference.h5ad", number=(30, 1, 10))
    with caplog.at_level(logging.WARNING):
        spots = reference_spots(make_spots(rate), file, "cell_type", None, 20)
    assert spots.classes == ["a", "c"]
    assert "Of 'b' the reference has a single cell" in caplog.text


def test_errors_say_what_is_there_instead(tmp_path):
    file, rate = make_reference(tmp_path / "reference.h5ad", kind="one")
    spots = make_spots(rate)
    with pytest.raises(ValueError, match="'type' is not in 'obs of the reference .*'cell_type', 'kind'"):
        reference_spots(spots, file, "type", None, 20)
    with pytest.raises(ValueError, match="has 1 cell types of two cells or more in column 'kind'"):
        reference_spots(spots, file, "kind", None, 20)
    with pytest.raises(ValueError, match=r"0 genes in common \(none\), of 45 and 40;.* g0, .* other0,"):
        other, _ = make_reference(tmp_path / "other.h5ad", prefix="other")
        reference_spots(spots, other, "cell_type", None, 20)
    with pytest.raises(ValueError, match=r"7 genes in common \(g0, g1, .* g6\), of 45 and 7"):
        few, _ = make_reference(tmp_path / "few.h5ad", genes=7)
        reference_spots(spots, few, "cell_type", None, 20)
    with pytest.raises(FileNotFoundError, match="nowhere.h5ad"):
        reference_spots(spots, str(tmp_path / "nowhere.h5ad"), "cell_type", None, 20)
