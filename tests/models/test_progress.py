"""One bar that ends, and nothing said twice."""

from tests.models.fit_case import fit, fitted, make_tissue


def bars(text):
    """What is left of each bar on a screen, line by line."""
    lines = [line.split("\r")[-1] for line in text.split("\n")]
    return [line.strip() for line in lines if line.strip()]


def test_embedding_several_shows_one_bar(capfd):
    tissue = make_tissue()
    parts = [tissue[tissue.obs["slice"] == name].copy() for name in ("slice0", "slice1")]
    model = fitted()
    capfd.readouterr()
    model.embed([*parts, tissue], progress=True)
    (bar,) = bars(capfd.readouterr().err)
    assert bar.startswith("Embedding: 100%") and " 400/400 " in bar
    model.embed(model.slices(tissue), progress=True)
    (bar,) = bars(capfd.readouterr().err)
    assert bar.startswith("Embedding: 100%") and " 200/200 " in bar
    model.embed(tissue)
    assert capfd.readouterr().err == ""


def test_fit_leaves_one_bar_for_each_stage(capfd):
    fit(make_tissue(), progress=True)
    said = capfd.readouterr().err
    (bar,) = bars(said)
    assert bar.startswith("stage_1: 100%") and " 4/4 " in bar
    assert "Converting" not in bar and "\rConverting: " in said
