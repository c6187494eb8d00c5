import torch
import torch.nn.functional as F

from stofm_pyg.models.projected_embeddings import ProjectedEmbeddings


@torch.no_grad()
def test_it_is_a_linear_layer_of_normalised_embeddings():
    torch.manual_seed(0)
    words, positions = torch.randn(7, 16) + 3, torch.randn(5, 16)
    norm = (torch.randn(16), torch.randn(16), 1e-12)
    weight, bias = torch.randn(12, 16), torch.randn(4)
    tokens, places = torch.randint(0, 7, (40,)), torch.randint(0, 5, (40,))
    x, projected = ProjectedEmbeddings(words, positions, norm, weight, bias)(tokens, places)
    expected = F.layer_norm(words[tokens] + positions[places], (16,), *norm)
    assert torch.allclose(x, expected, atol=1e-6)
    expected = F.linear(expected, weight, F.pad(bias, (0, 8)))
    assert torch.allclose(projected, expected, atol=1e-5)
