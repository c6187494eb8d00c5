import pytest

from stofm_pyg.models import CellEncoder
from stofm_pyg.models.features import TokenFeatures
from stofm_pyg.train.pretraining.features import encode_corpus, fit_feature_scale
from tests.cell_encoders import make_encoder
from tests.train.pretrain_case import make_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Three slices of 90 cells, in subpatches of about 30. Not to be changed."""
    return make_corpus(tmp_path_factory.mktemp("tissue"))


@pytest.fixture(scope="session")
def saved_encoder(corpus, tmp_path_factory):
    """The folder of an encoder for the corpus, with a scale."""
    encoder = make_encoder(vocab_size=len(corpus.vocab), gene_head=True, num_layers=1)
    encoder.scale = fit_feature_scale(encoder, corpus)
    folder = tmp_path_factory.mktemp("encoder")
    encoder.save_pretrained(folder)
    return folder


@pytest.fixture
def cell_encoder(saved_encoder):
    return CellEncoder.from_pretrained(saved_encoder).eval()


@pytest.fixture(scope="session")
def features(corpus, saved_encoder, tmp_path_factory):
    """What keeps the embeddings of the corpus by that encoder."""
    encoder = CellEncoder.from_pretrained(saved_encoder).eval()
    seen = TokenFeatures(encoder, corpus.vocab)
    return encode_corpus(seen, corpus, tmp_path_factory.mktemp("features"))
