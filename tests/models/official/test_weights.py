import pytest
import torch

from stofm_pyg.models import from_official_heads, from_official_state, official_heads, to_official_state
from stofm_pyg.nn import SliceEncoder
from stofm_pyg.train import MaskedCellModelling, PairwiseDistanceRecovery
from tests.golden_case import CASES, GoldenCase


@pytest.fixture
def state():
    return GoldenCase("se2_post_ln").part("state.model.")


@pytest.mark.parametrize("name", CASES)
def test_every_weight_of_the_encoder_is_given(name):
    case = GoldenCase(name)
    state = case.part("state.model.")
    encoder = SliceEncoder(
        24,
        case.config["embedding_dim"],
        case.num_layers,
        heads=case.heads,
        ffn_channels=case.config["ffn_embedding_dim"],
        num_gaussians=case.config["gaussian_hidden_dim"],
    )
    ours = from_official_state(state, case.num_layers)
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in encoder.state_dict().items()}
    # Nothing is lost or made up: as many numbers, but for the norm that is never called.
    used = {k: v for k, v in state.items() if not k.startswith("encoder.final_layer_norm.")}
    assert sum(v.numel() for v in ours.values()) == sum(v.numel() for v in used.values())
    assert len(state) - len(used) == (2 if case.config["pre_layernorm"] else 0)


def test_values(state):
    ours = from_official_state(state, 3)
    prefix = "encoder.layers.1.self_attn."
    for part, rows in zip("qkv", torch.arange(96).split(32), strict=True):
        for kind in ("weight", "bias"):
            theirs = state[f"{prefix}{part}_proj.{kind}"]
            assert torch.equal(ours[f"blocks.1.conv.lin_qkv.{kind}"][rows], theirs)
    assert torch.equal(ours["blocks.1.conv.lin_out.weight"], state[f"{prefix}out_proj.weight"])
    assert torch.equal(ours["blocks.2.lin2.bias"], state["encoder.layers.2.fc2.bias"])
    norms = ("self_attn_layer_norm", "final_layer_norm")
    for norm, theirs in zip(("norm1", "norm2"), norms, strict=True):
        name = f"encoder.layers.0.{theirs}.weight"
        assert torch.equal(ours[f"blocks.0.{norm}.weight"], state[name])
    means = state["gaussian.means.weight"]
    assert means.shape == (1, 16)
    assert torch.equal(ours["blocks.0.conv.distance.mean"], means.view(16))
    assert torch.equal(ours["node_type_emb.weight"], state["token_type_embeddings.weight"])


def test_the_official_tensors_are_not_changed(state):
    before = {key: value.clone() for key, value in state.items()}
    from_official_state(state, 3)
    assert state.keys() == before.keys()
    assert all(torch.equal(state[key], value) for key, value in before.items())


@pytest.mark.parametrize(
    "name",
    [
        "embedding_layer.bias",
        "gaussian.stds.weight",
        "encoder.layers.0.fc1.weight",
        "encoder.layers.2.self_attn.k_proj.bias",
        "encoder.layers.1.final_layer_norm.weight",
    ],
)
def test_a_missing_weight(state, name):
    del state[name]
    with pytest.raises(ValueError) as error:
        from_official_state(state, 3)
    assert str(error.value) == (
        f"Not the weights of an official SToFM model with 3 layers: missing ['{name}'], unexpected []"
    )


def test_an_unexpected_weight(state):
    state["pooler.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"missing \[\], unexpected \['pooler.weight'\]"):
        from_official_state(state, 3)


def test_a_prefix_that_was_left_on(state):
    with pytest.raises(ValueError, match="missing .*'embedding_layer.bias'.*'model.embedding_layer"):
        from_official_state({f"model.{key}": value for key, value in state.items()}, 3)


def test_another_number_of_layers(state):
    with pytest.raises(ValueError, match=r"with 2 layers: missing \[\], unexpected .*layers\.2\.fc1"):
        from_official_state(state, 2)
    with pytest.raises(ValueError, match=r"with 4 layers: missing .*layers\.3\.fc1.*unexpected \[\]"):
        from_official_state(state, 4)


@pytest.mark.parametrize("name", CASES)
def test_there_and_back(name):
    case = GoldenCase(name)
    official = case.part("state.model.")
    back = to_official_state(from_official_state(official, case.num_layers), case.num_layers)
    used = {k: v for k, v in official.items() if not k.startswith("encoder.final_layer_norm.")}
    assert back.keys() == used.keys()
    assert all(torch.equal(back[key], value) for key, value in used.items())


def test_back_with_a_name_that_is_not_ours(state):
    ours = from_official_state(state, 3)
    ours["lin_out.bias"] = ours.pop("lin_in.bias")
    with pytest.raises(ValueError, match=r"missing \['lin_in.bias'\], unexpected \['lin_out.bias'\]"):
        to_official_state(ours, 3)


@pytest.fixture
def pretrained_state():
    """Of a SToFMForMaskedLM of width 32 with 4 heads."""
    return GoldenCase("se2_post_ln").part("state.")


def test_the_heads_fit_the_objectives_and_compute_what_the_official_ones_do(tmp_path, pretrained_state):
    torch.save(pretrained_state, tmp_path / "pretrained.pth")
    heads = official_heads(tmp_path / "pretrained.pth")
    assert list(heads) == ["mcm", "pdr"]
    mcm, pdr = MaskedCellModelling(32, 32, loss="cosine"), PairwiseDistanceRecovery(4)
    mcm.load_state_dict(heads["mcm"])
    pdr.load_state_dict(heads["pdr"])
    for objective, name, size in ((mcm, "lm_head", 32), (pdr, "pair_head", 4)):
        x = torch.randn(5, size)
        hidden = (
            x @ pretrained_state[f"{name}.0.weight"].t() + pretrained_state[f"{name}.0.bias"]
        ).relu()
        expected = hidden @ pretrained_state[f"{name}.2.weight"].t() + pretrained_state[f"{name}.2.bias"]
        assert torch.allclose(objective.head(x), expected, atol=1e-5)


def test_one_head_or_none(pretrained_state):
    heads = {k: v for k, v in pretrained_state.items() if not k.startswith("model.")}
    pair = {k: v for k, v in heads.items() if k.startswith("pair_head.")}
    assert list(from_official_heads(pair)) == ["pdr"]
    assert from_official_heads({}) == {}


def test_a_checkpoint_without_heads(tmp_path, pretrained_state):
    model = {k: v for k, v in pretrained_state.items() if k.startswith("model.")}
    torch.save(model, tmp_path / "model.pth")
    assert official_heads(tmp_path / "model.pth") == {}


def test_missing_and_unexpected(pretrained_state):
    heads = {k: v for k, v in pretrained_state.items() if not k.startswith("model.")}
    heads["lm_head.3.weight"] = heads.pop("lm_head.2.weight")
    with pytest.raises(ValueError) as error:
        from_official_heads(heads)
    assert str(error.value) == (
        "Not the weights of official heads: missing ['lm_head.2.weight'], "
        "unexpected ['lm_head.3.weight']"
    )
