"""Files and folders of several formats where a path is taken."""

import torch

from stofm_pyg import SToFM
from stofm_pyg.data import SliceSettings, read
from stofm_pyg.datasets import H5adSlices

SETTINGS = SliceSettings(radius=3.0, num_features=4, max_clusters=3)


def test_fit_and_embed(write, tissue, tmp_path):
    sources = [write("Xenium", tmp_path / "xenium"), write("h5ad", tmp_path / "h")]
    config = {"stage_1": {"max_steps": 1, "min_cells": 20, "max_cells": 40}}
    model = SToFM.fit(
        sources, preset="tiny", config=config, settings=SETTINGS, num_workers=0, progress=False
    )
    folder = write("Visium", tmp_path / "visium")
    z = model.embed(folder)
    assert z.shape[0] == 49 and bool(z.isfinite().all())
    adata = model.embed(read(folder))
    torch.testing.assert_close(torch.from_numpy(adata.obsm["X_stofm"]), z)


def test_slices_of_several_formats(write, tmp_path):
    names = {"Xenium": "one", "Visium": "two", "MERSCOPE": "three"}
    files = [write(name, tmp_path / folder) for name, folder in names.items()]
    slices = H5adSlices(files, settings=SETTINGS.replace(virtual_cells=False))
    assert [data.name for data in slices] == ["one", "two", "three"]
    assert all(data.num_nodes == 49 and data.x.shape == (49, 4) for data in slices)
    # The same cells, over the genes that all have in common.
    assert slices[0].x.norm().item() > 0
    torch.testing.assert_close(slices[0].x.norm(dim=0), slices[1].x.norm(dim=0))
