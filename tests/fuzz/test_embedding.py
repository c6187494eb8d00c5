"""An embedding depends on cells, not on the order in which they, their genes, slices or files come."""

import functools

import numpy as np
import torch
from anndata import concat
from hypothesis import assume, given
from hypothesis import strategies as st

from stofm_pyg.data import SliceSettings
from stofm_pyg.datasets import generate_tissue
from stofm_pyg.models import SToFM
from stofm_pyg.models.features import PCAFeatures
from tests.fuzz.profile import examples
from tests.fuzz.strategies import GENES, adatas


@functools.cache
def make_model():
    tissue = generate_tissue(1, 120, num_genes=len(GENES), num_unobserved=0, seed=3)
    tissue.var_names = GENES
    torch.manual_seed(0)
    model = SToFM(in_channels=4, hidden_channels=8, num_layers=2, heads=2, ffn_channels=8).eval()
    model.features = PCAFeatures.fit([tissue], 4)
    model.settings = SliceSettings(radius=3.0, num_features=4)
    return model


def embed(adata, **options):
    return make_model().embed(adata, key_added=None, **options).numpy()


def close(one, other):
    return np.abs(one - other).max() <= 1e-5 * max(1.0, np.abs(one).max())


def suits(adata):
    assume(adata.obs["slice"].astype(str).value_counts().min() >= 5)


@examples(0.04)
@given(adatas(min_cells=5, max_cells=60), st.randoms(use_true_random=False))
def test_order_of_cells(given_, random):
    adata, _ = given_
    suits(adata)
    order = random.sample(range(adata.n_obs), adata.n_obs)
    assert close(embed(adata)[order], embed(adata[order].copy()))
    parts = {"cells_per_part": 8, "readout": "context", "batch_size": 8}
    assert close(embed(adata, **parts)[order], embed(adata[order].copy(), **parts))


@examples(0.04)
@given(adatas(min_cells=5, max_cells=60), st.permutations(range(len(GENES))))
def test_order_of_genes(given_, order):
    adata, _ = given_
    suits(adata)
    assert close(embed(adata), embed(adata[:, list(order)].copy()))


@examples(0.04)
@given(adatas(min_cells=15, max_cells=80), st.booleans())
def test_order_of_slices(given_, backwards):
    adata, _ = given_
    suits(adata)
    of_slice = adata.obs["slice"].astype(str).to_numpy()
    names = sorted(set(of_slice), reverse=backwards)
    order = np.concatenate([np.flatnonzero(of_slice == name) for name in names])
    assert close(embed(adata)[order], embed(adata[order].copy()))


@examples(0.02)
@given(adatas(min_cells=15, max_cells=60))
def test_files_apart_or_together(tmp_path_factory, given_):
    adata, _ = given_
    suits(adata)
    folder = tmp_path_factory.mktemp("fuzz")
    adata.obs["slice"] = adata.obs["slice"].astype(str)
    whole, parts = embed(adata), []
    for name in sorted(set(adata.obs["slice"])):
        own = adata.obs["slice"].to_numpy() == name
        adata[own].copy().write_h5ad(folder / f"{name}.h5ad")
        parts.append((own, folder / f"{name}.h5ad"))
    found = make_model().embed([str(path) for _, path in parts][::-1])[::-1]
    for (own, _), z in zip(parts, found, strict=True):
        assert close(whole[own], z.numpy())
    joined = concat([adata[own] for own, _ in parts][::-1])
    back = joined.obs_names.get_indexer(adata.obs_names)
    assert close(whole, embed(joined)[back])


@examples(0.02)
@given(adatas(min_cells=30, max_cells=70), st.integers(1, 4), st.sampled_from(("cell", "context")))
def test_size_of_batches(given_, batch_size, readout):
    adata, _ = given_
    suits(adata)
    options = {"cells_per_part": 20, "readout": readout}
    assert close(embed(adata, **options), embed(adata, batch_size=batch_size, **options))
