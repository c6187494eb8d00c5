import json

import pytest
import torch
from safetensors.torch import save_file

from stofm_pyg.models import SToFM
from tests.golden_case import CASES, GoldenCase, largest_error, run_encoder


def write_official(directory, case, name="se2transformer.pth", state=None):
    """The files of an official checkpoint with the weights of a reference run."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(case.config))
    state = case.part("state.model.") if state is None else state
    save = save_file if name.endswith(".safetensors") else torch.save
    save(state, directory / name)
    return directory, directory / name


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["model", "with heads", "safetensors", "module"])
def test_gives_the_official_numbers(tmp_path, name, kind):
    case = GoldenCase(name)
    state = case.part("state." if kind in ("with heads", "module") else "state.model.")
    if kind == "module":
        state = {f"module.{key}": value for key, value in state.items()}
    file = "se2transformer.safetensors" if kind == "safetensors" else "se2transformer.pth"
    model = SToFM.from_official(*write_official(tmp_path, case, file, state))
    assert not model.training and model.graph == "official"
    with torch.no_grad():
        output = run_encoder(model.encoder, case.batch())
    assert largest_error(output.x, case.nodes("out.last_hidden_state")) <= 1e-5


def test_saved_and_read_again_as_ours(tmp_path):
    case = GoldenCase("se2_pre_ln")
    model = SToFM.from_official(*write_official(tmp_path / "official", case))
    model.save_pretrained(tmp_path / "ours")
    again = SToFM.from_pretrained(tmp_path / "ours")
    assert again.graph == "official" and again.config == model.config
    assert again.config["dropout"] == 0.1 and again.config["pre_norm"] is True
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)


def test_masked_cells_get_the_official_mask_vector(tmp_path):
    model = SToFM.from_official(*write_official(tmp_path, GoldenCase("se2_post_ln")))
    assert model.mask_token.tolist() == [-100.0] * 24


def test_weights_of_half_precision(tmp_path):
    case = GoldenCase("se2_post_ln")
    state = {name: value.half() for name, value in case.part("state.model.").items()}
    model = SToFM.from_official(*write_official(tmp_path, case, state=state))
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_missing_and_unexpected_weights(tmp_path):
    case = GoldenCase("se2_post_ln")
    state = case.part("state.model.")
    state["pooler.weight"] = state.pop("encoder.layers.1.fc1.bias")
    config, weights = write_official(tmp_path, case, state=state)
    with pytest.raises(ValueError) as error:
        SToFM.from_official(config, weights)
    assert str(error.value) == (
        f"Not the weights of an official SToFM model with 3 layers that normalise after each part: "
        f"missing ['encoder.layers.1.fc1.bias'], unexpected ['pooler.weight'] (in '{weights}'); is this "
        f"the config that belongs to it?"
    )


def test_another_size_than_the_config_says(tmp_path):
    case = GoldenCase("se2_post_ln")
    config, weights = write_official(tmp_path, case)
    (tmp_path / "config.json").write_text(json.dumps(case.config | {"ffn_embedding_dim": 50}))
    with pytest.raises(ValueError, match=r"layers\.0\.fc1\.weight \[48, 32\] instead of \[50, 32\]"):
        SToFM.from_official(config, weights)


def test_a_config_without_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="official 'config.json'"):
        SToFM.from_official(tmp_path, tmp_path / "se2transformer.pth")
