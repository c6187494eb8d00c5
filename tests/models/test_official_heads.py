import pytest
import torch

from stofm_pyg.models import from_official_heads, official_heads
from stofm_pyg.train import MaskedCellModelling, PairwiseDistanceRecovery
from tests.golden_case import GoldenCase


@pytest.fixture
def state():
    """Of a SToFMForMaskedLM of width 32 with 4 heads."""
    return GoldenCase("se2_post_ln").part("state.")


def test_the_heads_fit_the_objectives_and_compute_what_the_official_ones_do(tmp_path, state):
    torch.save(state, tmp_path / "pretrained.pth")
    heads = official_heads(tmp_path / "pretrained.pth")
    assert list(heads) == ["mcm", "pdr"]
    mcm, pdr = MaskedCellModelling(32, 32, loss="cosine"), PairwiseDistanceRecovery(4)
    mcm.load_state_dict(heads["mcm"])
    pdr.load_state_dict(heads["pdr"])
    for objective, name, size in ((mcm, "lm_head", 32), (pdr, "pair_head", 4)):
        x = torch.randn(5, size)
        hidden = (x @ state[f"{name}.0.weight"].t() + state[f"{name}.0.bias"]).relu()
        expected = hidden @ state[f"{name}.2.weight"].t() + state[f"{name}.2.bias"]
        assert torch.allclose(objective.head(x), expected, atol=1e-5)


def test_one_head_or_none(state):
    heads = {k: v for k, v in state.items() if not k.startswith("model.")}
    pair = {k: v for k, v in heads.items() if k.startswith("pair_head.")}
    assert list(from_official_heads(pair)) == ["pdr"]
    assert from_official_heads({}) == {}


def test_a_checkpoint_without_heads(tmp_path, state):
    model = {k: v for k, v in state.items() if k.startswith("model.")}
    torch.save(model, tmp_path / "model.pth")
    assert official_heads(tmp_path / "model.pth") == {}


def test_missing_and_unexpected(state):
    heads = {k: v for k, v in state.items() if not k.startswith("model.")}
    heads["lm_head.3.weight"] = heads.pop("lm_head.2.weight")
    with pytest.raises(ValueError) as error:
        from_official_heads(heads)
    assert str(error.value) == (
        "Not the weights of official heads: missing ['lm_head.2.weight'], "
        "unexpected ['lm_head.3.weight']"
    )
