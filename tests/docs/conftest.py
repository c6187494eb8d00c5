import shutil
from dataclasses import replace

import anndata
import pytest

import stofm_pyg.train
from stofm_pyg.datasets import generate_tissue
from stofm_pyg.train import PRESETS, finetune

STEPS = 2
SLICES = ["151673", "151674", "151675"]


@pytest.fixture(scope="session")
def tissue():
    """Three small generated slices, with the columns that the pages speak of."""
    adata = generate_tissue(3, 160, num_domains=4, num_cell_types=5, seed=3)
    adata.obs["slice"] = adata.obs["slice"].cat.rename_categories(SLICES)
    adata.obs["section"], adata.obs["layer"] = adata.obs["slice"], adata.obs["domain"]
    return adata


@pytest.fixture(scope="session")
def files(tissue, tmp_path_factory):
    """A folder of the files that the pages name."""
    folder = tmp_path_factory.mktemp("files")
    parts = {
        "brain": SLICES[:2],
        "slice": SLICES[:1],
        "a": SLICES[:1],
        "b": SLICES[1:2],
        "other": SLICES[2:],
    }
    for name, part in parts.items():
        tissue[tissue.obs["slice"].isin(part)].write_h5ad(folder / f"{name}.h5ad")
    return folder


@pytest.fixture
def names(files, tmp_path, monkeypatch):
    """What code of a page finds: it runs in a folder with the files, and every training is short."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    tiny = PRESETS["tiny"]
    stages = {name: replace(getattr(tiny, name), max_steps=STEPS) for name in ("stage_1", "stage_2")}
    short = replace(tiny, **stages)
    for name in PRESETS:
        monkeypatch.setitem(PRESETS, name, short)

    def short_finetune(*args, num_steps=STEPS, **kwargs):
        return finetune(*args, num_steps=min(num_steps, STEPS), **kwargs)

    monkeypatch.setattr(stofm_pyg.train, "finetune", short_finetune)
    return {"adata": anndata.read_h5ad("brain.h5ad"), "other": anndata.read_h5ad("other.h5ad")}
