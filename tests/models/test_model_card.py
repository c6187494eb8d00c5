import numpy as np
import pytest
import yaml

from stofm_pyg.models import ModelCard, SToFM
from stofm_pyg.models.features import ObsmFeatures
from tests.models.fit_case import fitted
from tests.models.test_files import make_whole


def front_matter(text):
    _, head, _ = text.split("---\n", 2)
    return yaml.safe_load(head)


def row(text, key):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {key} |")]
    return line.split("|")[2].strip()


def test_the_page_of_a_model_that_was_fitted():
    model = fitted()
    card = ModelCard(
        title="Mouse cortex", data="STARmap, three slices.", license="cc-by-4.0",
        metrics={"macro-F1 of layers, slices held out": 0.93, "a | b": "1\n2"}, limits="Not for humans.",
    )  # fmt: skip
    text = card.text(model, "someone/cortex")
    head = front_matter(text)
    assert head["license"] == "cc-by-4.0" and head["library_name"] == "stofm_pyg"
    assert "spatial-transcriptomics" in head["tags"]
    assert "# Mouse cortex\n" in text and "STARmap, three slices." in text
    assert 'SToFM.from_pretrained("someone/cortex")' in text
    assert "raw counts in `X` and positions in `obsm['spatial']`" in text
    assert row(text, "genes") == str(len(model.features.genes))
    assert row(text, "parameters") == f"{sum(p.numel() for p in model.parameters()):,}"
    assert "`radius=2.5`, `virtual_cells=True`" in row(text, "settings")
    assert row(text, "macro-F1 of layers, slices held out") == "0.93"
    assert "| a \\| b | 1 2 |" in text
    assert "Not for humans." in text and "## Licence\n\ncc-by-4.0\n" in text
    assert "not the published model of the authors" in text


def test_little_data_is_said_to_be_little():
    model = make_whole()
    model.fitted_to = {"slices": 3, "cells": 3000}
    text = ModelCard().text(model, "m")
    assert row(text, "cells") == "3,000" and "trained on little data, 3,000 cells" in text
    model.fitted_to = {"slices": 900, "cells": 9_000_000}
    text = ModelCard().text(model, "m")
    assert row(text, "cells") == "9,000,000" and "little data" not in text


def test_what_is_not_known_is_not_made_up():
    model = make_whole()
    text = ModelCard().text(model, "m")
    assert "license" not in front_matter(text)
    assert "## Licence\n\nNone given" in text and "## Results\n\nNone given." in text
    assert "## Data\n\nNot described.\n\nHow many cells and slices is not recorded." in text
    assert row(text, "tissue domains") == "3" and row(text, "label layer") == "A, B"


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (None, "It takes slices with features of your own making."),
        (ObsmFeatures("X_scVI", np.ones(6)), "with features in `obsm['X_scVI']` and positions in"),
    ],
)
def test_what_the_model_takes(features, words):
    model = make_whole()
    model.features = features
    assert words in ModelCard().text(model, "m")


def test_it_is_written_when_it_is_given(tmp_path):
    model = make_whole()
    model.save_pretrained(tmp_path / "mine", card=ModelCard(license="mit"))
    text = (tmp_path / "mine" / "README.md").read_text(encoding="utf-8")
    assert text == ModelCard(license="mit").text(model, "mine")
    model.save_pretrained(tmp_path / "mine")  # One that a person may have changed stays.
    assert (tmp_path / "mine" / "README.md").read_text(encoding="utf-8") == text
    model.save_pretrained(tmp_path / "bare")
    assert not (tmp_path / "bare" / "README.md").exists()
    assert isinstance(SToFM.from_pretrained(tmp_path / "mine"), SToFM)
