import pickle

import pytest
import torch
from safetensors.torch import save_file

from stofm_pyg.models.official.checkpoint import official_model_state, read_official_checkpoint
from tests.golden_case import GoldenCase


@pytest.fixture(scope="module")
def state():
    """Of a SToFMForMaskedLM with three layers."""
    return GoldenCase("se2_post_ln").part("state.")


def assert_equal(actual, expected):
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[name], value) for name, value in expected.items())


@pytest.mark.parametrize("name", ["weights.pth", "weights.bin", "weights.safetensors"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_kind_of_file(tmp_path, state, name, prefix):
    saved = {prefix + key: value for key, value in state.items()}
    save_file(saved, tmp_path / name) if name.endswith("s") else torch.save(saved, tmp_path / name)
    assert_equal(read_official_checkpoint(tmp_path / name), state)
    assert_equal(read_official_checkpoint(str(tmp_path / name)), state)


def test_the_model_with_and_without_heads(state):
    model = {k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")}
    assert_equal(official_model_state(state, 3, False), model)
    assert_equal(official_model_state(model, 3, False), model)
    one_head = {k: v for k, v in state.items() if not k.startswith("pair_head.")}
    assert_equal(official_model_state(one_head, 3, False), model)


@pytest.mark.parametrize(
    "name", ["model.embedding_layer.bias", "lm_head.2.weight", "model.encoder.layers.2.fc2.bias"]
)
def test_missing_and_unexpected_names_in_one_report(state, name):
    state = dict(state)
    state["lm_head.4.weight"] = state.pop(name)
    with pytest.raises(ValueError) as error:
        official_model_state(state, 3, False)
    assert str(error.value) == (
        f"Not the weights of an official SToFM model with 3 layers that normalise after each part: "
        f"missing ['{name}'], unexpected ['lm_head.4.weight']"
    )


def test_names_with_and_without_prefix_do_not_mix(state):
    state = dict(state)
    state["embedding_layer.bias"] = state.pop("model.embedding_layer.bias")
    with pytest.raises(ValueError, match=r"missing \['model.embedding_.*unexpected \['embedding_"):
        official_model_state(state, 3, False)


def test_the_place_of_the_norms_must_be_right(state):
    with pytest.raises(ValueError, match="before each part: missing .*final_layer_norm.bias"):
        official_model_state(state, 3, True)
    before = GoldenCase("se2_pre_ln").part("state.")
    assert "encoder.final_layer_norm.weight" in official_model_state(before, 2, True)
    with pytest.raises(ValueError, match="after each part: .*unexpected .*final_layer_norm.bias"):
        official_model_state(before, 2, False)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file .*se2.pth.*pass the official"):
        read_official_checkpoint(tmp_path / "se2.pth")


class Dangerous:
    def __reduce__(self):
        return print, ("code from the file ran",)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_damaged_files(tmp_path, state, name):
    path = tmp_path / name
    save_file(dict(state), path) if name.endswith("s") else torch.save(state, path)
    whole = path.read_bytes()
    for content in (b"", b"not weights", whole[: len(whole) // 2], whole[:30]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="could not be read as weights"):
            read_official_checkpoint(path)


def test_code_in_a_file_does_not_run(tmp_path, capsys):
    path = tmp_path / "weights.pth"
    torch.save({"a": Dangerous()}, path)
    with pytest.raises(ValueError, match="could not be read as weights"):
        read_official_checkpoint(path)
    path.write_bytes(pickle.dumps(Dangerous(), protocol=2))
    with pytest.raises(ValueError, match="could not be read as weights"):
        read_official_checkpoint(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "content, what",
    [
        (torch.zeros(2), "Tensor"),
        ({"epoch": 3, "model": {}}, "a dictionary with 'epoch', 'model'"),
        ([torch.zeros(2)], "list"),
    ],
)
def test_something_else_than_weights(tmp_path, content, what):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=rf"does not hold tensors by name \(got {what}\)"):
        read_official_checkpoint(tmp_path / "weights.pth")
