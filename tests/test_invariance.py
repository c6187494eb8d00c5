"""From AnnData to embedding, nothing depends on how a slice lies."""

import anndata
import numpy as np
import pytest
import torch

from stofm_pyg.data import slices_from_anndata
from stofm_pyg.datasets import generate_tissue
from stofm_pyg.models import SToFM


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return SToFM(50, hidden_channels=32, num_layers=2, heads=4, num_gaussians=16).eval()


def embed(model, adata, **kwargs):
    # Any features will do, and random ones come faster than principal components.
    features = np.random.default_rng(0).normal(size=(adata.n_obs, 50))
    slices = slices_from_anndata(adata, features=features)
    return torch.cat(model.embed(slices, cells_per_part=300, layers="all", **kwargs))


def assert_same_embedding(model, adata, matrix, shift=0.0, **kwargs):
    moved = adata.copy()
    moved.obsm["spatial"] = adata.obsm["spatial"] @ matrix + shift
    before, after = embed(model, adata, **kwargs), embed(model, moved, **kwargs)
    assert float((after - before).abs().max() / before.abs().max()) <= 1e-4


def rotation(degrees):
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize("degrees", [30, 90, 211.7])
def test_turning_and_moving_generated_tissue(model, degrees):
    adata = generate_tissue(num_slices=1, cells_per_slice=600, num_genes=80, seed=1)
    assert_same_embedding(model, adata, rotation(degrees), shift=[1e4, -300.0])


def test_mirroring_and_scaling_generated_tissue(model):
    adata = generate_tissue(num_slices=1, cells_per_slice=600, num_genes=80, seed=2)
    assert_same_embedding(model, adata, np.diag([-1.0, 1.0]) * 17.3)


@pytest.mark.realdata
@pytest.mark.parametrize("degrees", [1, 45, 133.7])
@pytest.mark.parametrize("readout", ["cell", "context"])
def test_turning_starmap(real_slices, model, degrees, readout):
    adata = anndata.read_h5ad(real_slices / "starmap_mpfc.h5ad")
    assert_same_embedding(model, adata, rotation(degrees), readout=readout)


@pytest.mark.realdata
def test_turning_a_lattice_of_spots(real_slices, model):
    adata = anndata.read_h5ad(real_slices / "dlpfc_3slices_7k.h5ad")
    adata = adata[adata.obs["slice"] == "151673"].copy()
    assert_same_embedding(model, adata, rotation(30))
