import os
from pathlib import Path

import pytest
from hypothesis import settings

SHARED = Path(__file__).resolve().parents[2] / "shared"

# A busy machine is no error, and a failure in CI must come back when it is run again.
settings.register_profile("stofm_pyg", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("stofm_pyg")


def shared_folder(name):
    """Path of `../shared/<name>` beside the repository; skips the test where it is absent."""
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs ../shared/{name} beside the repository, which is absent here")
    return folder


@pytest.fixture(scope="session")
def real_slices():
    """Folder with the real slices (h5ad)."""
    return shared_folder("data")


@pytest.fixture(scope="session")
def golden():
    """Folder with the reference numbers of the official code."""
    return shared_folder("golden")
