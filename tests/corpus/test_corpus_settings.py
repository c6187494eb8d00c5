import pytest

from stofm_pyg.corpus import CorpusSettings


def test_defaults():
    settings = CorpusSettings()
    assert (settings.cells_per_part, settings.radius, settings.max_length) == (1000, 8.0, 2048)
    assert settings.slice_key == "slice" and settings.layer is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cells_per_part": 0}, r"'cells_per_part' must be at least 1 \(got 0\)"),
        ({"max_neighbors": -1}, r"'max_neighbors' must be at least 1 \(got -1\)"),
        ({"radius": float("nan")}, r"'radius' must be positive and finite \(got nan\)"),
        ({"alpha": 1.5}, r"'alpha' must lie between 0 and 1 \(got 1.5\)"),
        ({"method": "kmeans"}, "Unknown method 'kmeans'; known: metis, grid"),
        ({"unit": "mile"}, "Unknown unit 'mile'; known: spacing"),
    ],
)
def test_what_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        CorpusSettings(**wrong)
