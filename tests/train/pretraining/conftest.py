import pytest

from stofm_pyg.data import GeneVocab
from tests.models.fit_case import make_tissue


@pytest.fixture
def adata():
    return make_tissue()


@pytest.fixture(scope="module")
def vocab():
    return GeneVocab.from_slices([make_tissue()])
