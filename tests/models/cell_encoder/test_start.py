import pytest
import torch

from stofm_pyg.models import CellEncoder
from stofm_pyg.models.cell_encoder.start import spread_embeddings


def test_embeddings():
    torch.manual_seed(0)
    encoder = CellEncoder(2000, 128, 1, 4, 16, 512, 8)
    spread_embeddings(encoder)
    embeddings = encoder.bert.embeddings
    words, positions = embeddings.word_embeddings.weight, embeddings.position_embeddings.weight
    assert words[1:].std().item() == pytest.approx(0.1, rel=0.02)
    assert words[0].abs().max() == 0
    # The cosine of two positions depends on how far apart they are alone, and falls from there.
    assert torch.allclose(positions.norm(dim=1), torch.full((512,), 0.1 * 128**0.5), atol=1e-4)
    cosine = torch.nn.functional.cosine_similarity
    near, far = cosine(positions[:-1], positions[1:]), cosine(positions[:-20], positions[20:])
    assert near.std() < 1e-5 and far.std() < 1e-5 and near[0] > far[0] + 0.1
