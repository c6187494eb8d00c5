import numpy as np
import pandas as pd
import pytest

from benchmarks.data import BenchmarkData
from benchmarks.spot_data import binned_spots
from stofm_pyg.data import SliceSettings
from stofm_pyg.datasets import generate_tissue

SETTINGS = SliceSettings(radius=2.5, max_clusters=4, num_features=5)


def make_tissue():
    return generate_tissue(2, 120, 30, 0, num_domains=3, num_cell_types=3, seed=1)


def test_slices_of_spots_are_sums_of_single_cells():
    adata = make_tissue()
    spots = binned_spots(BenchmarkData([adata], "cell_type", SETTINGS), 4.0, "hexagonal")
    assert spots.classes == ["type00", "type01", "type02"]
    assert [item.name for item in spots.data.slices] == ["slice0", "slice1"]
    codes = adata.obs["cell_type"].cat.codes.to_numpy()
    for number, (truth, counts) in enumerate(zip(spots.truth, spots.counts, strict=True)):
        rows = np.arange(120) + 120 * number
        _, code, spot = spots.reference[number]
        np.testing.assert_array_equal(code, codes[rows])
        for row in (0, len(truth) - 1):
            inside = rows[spot == row]
            want = adata.X[inside].toarray().sum(axis=0)
            np.testing.assert_array_equal(counts[row].toarray()[0], want)
            share = np.bincount(codes[inside], minlength=3) / inside.size
            np.testing.assert_allclose(truth[row], share)
        # What methods see: the same counts, in the same order, and no mixture.
        item, (source, of_source) = spots.data.slices[number], spots.data.rows[number]
        seen = spots.data.sources[source]
        np.testing.assert_array_equal(seen.X[of_source].toarray(), counts.toarray())
        assert set(seen.obsm) == {"spatial"}
        label = item.cell_type[item.cell_id >= 0].numpy()
        np.testing.assert_array_equal(label, truth.argmax(axis=1))


def test_reference_cells_are_never_of_spots_that_are_tested_on():
    adata = make_tissue()
    spots = binned_spots(BenchmarkData([adata], "cell_type", SETTINGS), 4.0, "square")
    for split in ("blocks", "cross", "within"):
        folds = spots.folds(split, 3)
        for fold in folds:
            counts, codes = spots.cells(fold.train)
            assert len(codes) == counts.shape[0] > 0
            trained = sum(spots.counts[i][rows].sum() for i, rows in fold.train.items())
            assert counts.sum() == trained  # The very cells of the training spots, no other.
            rows = fold.train.get(fold.slice, np.empty(0, dtype=int))
            assert np.intersect1d(rows, fold.test).size == 0


def test_slices_without_labels_are_left_out(caplog):
    adata = make_tissue()
    labels = adata.obs["cell_type"].astype(object)
    labels[adata.obs["slice"] == "slice1"] = None
    adata.obs["cell_type"] = pd.Categorical(labels)
    spots = binned_spots(BenchmarkData([adata], "cell_type", SETTINGS), 4.0, "square")
    assert [item.name for item in spots.data.slices] == ["slice0"]
    assert "Slice 'slice1' has no known 'cell_type'" in caplog.text


def test_errors_name_what_is_wrong():
    adata = make_tissue()
    cells = BenchmarkData([adata], "cell_type", SETTINGS)
    with pytest.raises(ValueError, match="Slice 'slice0': 120 cells of a known type are too few"):
        binned_spots(cells, 100.0, "square")
    adata.obs["one"] = "same"
    with pytest.raises(ValueError, match="needs at least two classes"):
        binned_spots(BenchmarkData([adata], "one", SETTINGS), 4.0, "square")
