from pathlib import Path
from typing import NamedTuple

import pytest

from tests.models.fit_case import fitted, make_tissue


class Files(NamedTuple):
    """A file of two slices, and the folder of the model that was fitted to it."""

    tissue: Path
    model: Path


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    make_tissue().write_h5ad(folder / "tissue.h5ad")
    fitted().save_pretrained(folder / "model")
    return Files(folder / "tissue.h5ad", folder / "model")
