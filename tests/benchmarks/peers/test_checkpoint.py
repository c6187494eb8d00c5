import pytest
import torch
from safetensors.torch import save_file

from benchmarks.peers.checkpoint import (
    check_system,
    find_file,
    load_state,
    num_layers,
    read_state,
    size_of,
)


class Harm:
    def __reduce__(self):
        return print, ("harm",)


def test_tensors_under_a_key_or_not(tmp_path):
    state = {"a.weight": torch.arange(3.0)}
    torch.save({"state_dict": state, "epoch": 1}, tmp_path / "a.ckpt")
    torch.save(state, tmp_path / "b.pt")
    save_file(state, tmp_path / "c.safetensors")
    for name in ("a.ckpt", "b.pt", "c.safetensors"):
        found, beside = read_state(tmp_path / name, under="state_dict")
        assert beside == ({"epoch": 1} if name == "a.ckpt" else {})
        assert found.keys() == state.keys() and torch.equal(found["a.weight"], state["a.weight"])
    with pytest.raises(ValueError, match="holds no tensors by name;"):
        read_state(tmp_path / "a.ckpt")


def test_files_that_are_no_weights(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read_state(tmp_path / "a.pt")
    torch.save({"a": Harm()}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="could not be read as weights"):
        read_state(tmp_path / "a.pt")
    assert capsys.readouterr().out == ""
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="could not be read as weights"):
        read_state(tmp_path / "a.safetensors")


def test_the_file_that_is_meant(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no weights \(looked for a\.pt, \*\.pt\)"):
        find_file(tmp_path, ("a.pt", "*.pt"), "weights")
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).touch()
    assert find_file(tmp_path, ("a.pt", "*.pt"), "weights") == tmp_path / "a.pt"
    with pytest.raises(ValueError, match=r"several files with weights \('a.pt', 'b.pt'\)"):
        find_file(tmp_path, ("*.pt",), "weights")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        find_file(tmp_path / "none", ("*.pt",), "weights")


def test_weights_of_another_system():
    check_system(["value_encoder.linear1.weight"], "scGPT", "x")
    with pytest.raises(ValueError, match="no weights of scGPT .* but those of CellPLM; pass"):
        check_system(["embedder.feat_enc.emb"], "scGPT", "x")
    with pytest.raises(ValueError, match=r"of an unknown kind, such as \['lin'\]"):
        check_system(["lin"], "CellPLM", "x")


def test_each_weight_must_have_its_place():
    model = torch.nn.Linear(2, 3)
    state = {"weight": torch.ones(3, 2), "bias": torch.ones(3)}
    load_state(model, {**state, "old.weight": torch.ones(1)}, "x", unused=("old.*",))
    assert torch.equal(model.weight, state["weight"])
    with pytest.raises(ValueError, match=r"Linear: missing \['bias'\], left over \['b'\]"):
        load_state(model, {"weight": state["weight"], "b": state["bias"]}, "x")
    with pytest.raises(ValueError, match=r"bias \[2\] instead of \[3\]"):
        load_state(model, {**state, "bias": torch.ones(2)}, "x")


def test_sizes():
    state = {f"a.layers.{i}.weight": torch.ones(2, 5) for i in (0, 1, 10)}
    assert num_layers(state, "a.layers.") == 3 and num_layers(state, "b.") == 0
    assert size_of(state, "a.layers.10.weight", 1, "x") == 5
    with pytest.raises(ValueError, match=r"missing \['c'\]"):
        size_of(state, "c", 0, "x")
