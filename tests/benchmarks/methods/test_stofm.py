import numpy as np
import pytest
import torch

from benchmarks.data import BenchmarkData
from benchmarks.methods import SavedModel
from benchmarks.methods.pretrained import Pretrained
from benchmarks.methods.stofm import SToFMFitted, Untrained
from stofm_pyg.models import SToFM
from tests.models.fit_case import CONFIG, SETTINGS, fit, fitted, make_tissue


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("tissue") / "tissue.h5ad"
    make_tissue().write_h5ad(path)
    return BenchmarkData([str(path)], "domain", SETTINGS)


def made(kind=SToFMFitted, **kwargs):
    options = {"num_workers": 0} if kind is not Pretrained else {}
    return kind("tiny", CONFIG, device="cpu", **options, **kwargs)


def test_it_is_what_the_public_lines_give(data):
    out = made().embed(data)
    z = fitted().embed_anndata(make_tissue()).numpy()
    np.testing.assert_array_equal(np.concatenate(out), z)
    # Without a slice: fitted to the other, both embedded.
    adata = make_tissue()
    other = fit(adata[100:].copy())
    unseen = made().embed(data, without=0)
    np.testing.assert_allclose(np.concatenate(unseen), other.embed_anndata(adata).numpy(), atol=1e-6)


def test_the_seed_decides_all(data):
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first = made().embed(data, 0)
    assert torch.equal(torch.get_rng_state(), before)
    other = made().embed(data, 1)
    assert np.abs(first[0] - other[0]).max() > 1e-3


def test_untrained_is_what_it_begins_with(data):
    out = np.concatenate(made(Untrained).embed(data))
    none = {"stage_1": {"num_epochs": 0}, "stage_2": {"num_epochs": 0}}
    z = fit(make_tissue(), config={**CONFIG, **none}).embed_anndata(make_tissue()).numpy()
    np.testing.assert_array_equal(out, z)
    assert not np.allclose(out, np.concatenate(made().embed(data)), atol=1e-3)


def test_by_way_of_a_corpus(data):
    from stofm_pyg.data import GeneVocab

    method = made(Pretrained)
    out = method.embed(data)
    model = fit(make_tissue(), features="tokens", vocab=GeneVocab.from_slices(data.sources))
    z = model.embed_anndata(make_tissue()).numpy()
    np.testing.assert_allclose(np.concatenate(out), z, atol=1e-5)
    unseen = method.embed(data, without=1)
    assert [x.shape for x in unseen] == [x.shape for x in out]
    assert not np.allclose(unseen[0], out[0], atol=1e-3)


def test_a_saved_model_is_taken_as_it_is(data, tmp_path):
    fitted().save_pretrained(tmp_path)
    method = SavedModel(str(tmp_path))
    z = fitted().embed_anndata(make_tissue()).numpy()
    np.testing.assert_array_equal(np.concatenate(method.embed(data)), z)
    assert not method.learns
    assert isinstance(method.model, SToFM)
