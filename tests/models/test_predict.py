"""Where results are written: never in the place of other results, nor of what they are made of."""

import numpy as np
import pytest

from stofm_pyg.models import SToFM
from stofm_pyg.models.label_head import prediction_key
from tests.models.fit_case import fitted, make_tissue


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    fitted().save_pretrained(folder)
    return folder


@pytest.fixture
def model(folder):
    return SToFM.from_pretrained(folder)


@pytest.mark.parametrize(
    ("label", "key"),
    [
        ("cell_type", "stofm_cell_type"),
        ("domains", "stofm_domain"),
        ("domain", "stofm_domain_label"),
        ("domain_label", "stofm_domain_label"),
    ],
)
def test_keys(label, key):
    assert prediction_key(label) == key


def test_a_label_domain_does_not_take_the_place_of_domains(model):
    adata = make_tissue()
    model.domains(adata, n=2)
    found = adata.obs["stofm_domain"].copy()
    model.finetune(adata, "domain", progress=False, device="cpu")
    model.predict(adata, "domain")
    assert adata.obs["stofm_domain"].equals(found)
    assert set(adata.obs["stofm_domain_label"]) <= set(adata.obs["domain"])
    assert adata.obsm["stofm_domain_label_probability"].shape == (200, adata.obs["domain"].nunique())
    model.predict(adata, "domains")
    assert adata.obs["stofm_domain"].equals(found)


@pytest.mark.parametrize("key", ["", "a/b", "spatial"])
def test_keys_of_an_embedding_that_are_refused(model, key):
    adata = make_tissue()
    before, keys = adata.obsm["spatial"].copy(), list(adata.obsm)
    with pytest.raises(ValueError, match="pass another 'key_added='"):
        model.embed(adata, key_added=key)
    assert list(adata.obsm) == keys and np.array_equal(adata.obsm["spatial"], before)


@pytest.mark.parametrize("key", ["a/b", "slice"])
def test_keys_of_columns_that_are_refused(model, key):
    adata = make_tissue()
    before = adata.obs.copy()
    with pytest.raises(ValueError, match="pass another 'key_added='"):
        model.domains(adata, n=2, key_added=key)
    model.domains(adata, n=2)
    with pytest.raises(ValueError, match="pass another 'key_added='"):
        model.predict(adata, "domains", key_added=key)
    assert adata.obs.drop(columns="stofm_domain").equals(before)


def test_what_was_learned_goes_with_its_read_out(model):
    adata = make_tissue()
    model.domains(adata, n=2)
    with pytest.raises(ValueError, match=r"shape \[200, 8\], domains were found in ones of 16 channels"):
        model.predict(adata, "domains", layers="last")
    model.finetune(adata, "domain", progress=False, device="cpu")
    for change in ({"layers": "last"}, {"readout": "context"}, {"read_out": model.read_out}):
        with pytest.raises(TypeError, match=f"'{next(iter(change))}' is the model's"):
            model.predict(adata, "domain", **change)


def test_nothing_to_write_to(model, tmp_path):
    import anndata

    with pytest.raises(ValueError, match="There is no slice to find domains in: 'data' is empty"):
        model.domains([])
    make_tissue().write_h5ad(tmp_path / "a.h5ad")
    view = anndata.read_h5ad(tmp_path / "a.h5ad", backed="r")[:50]
    for call in (lambda: model.domains(view, n=2), lambda: model.predict(view)):
        with pytest.raises(ValueError, match="Cannot write to a view of the backed file"):
            call()
