import os
import pickle
import re

import pytest
import torch
from safetensors.torch import save_file

from stofm_pyg.models.cell_encoder.files import read_part, read_proj, save_bert, save_part, save_proj
from tests.cell_encoders import make_encoder


def test_the_pooling_layer(tmp_path):
    proj = torch.nn.Linear(4, 3)
    save_proj(proj, tmp_path / "proj.bin")
    state = read_proj(tmp_path / "proj.bin", 4)
    assert state.keys() == {"weight", "bias"}
    assert torch.equal(state["weight"], proj.weight) and torch.equal(state["bias"], proj.bias)
    assert not state["weight"].requires_grad
    # The official code reads it so.
    torch.nn.Linear(4, 3).load_state_dict(torch.load(tmp_path / "proj.bin"))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"weight": torch.zeros(3, 5), "bias": torch.zeros(3)}, "{'weight': [3, 5], 'bias': [3]}"),
        ({"weight": torch.zeros(3, 4)}, "{'weight': [3, 4]}"),
        ({"weight": torch.zeros(3, 4), "bias": torch.zeros(2)}, "a 'weight' of shape [any, 4]"),
        ({"weight": torch.zeros(0, 4), "bias": torch.zeros(0)}, "a 'weight' of shape [any, 4]"),
        ({"weight": torch.zeros(3, 4), "bias": 7}, "a 'weight' of shape [any, 4]"),
        (torch.zeros(3), "holds a Tensor"),
    ],
)
def test_another_pooling_layer(tmp_path, state, message):
    torch.save(state, tmp_path / "proj.bin")
    with pytest.raises(ValueError, match=re.escape(message)):
        read_proj(tmp_path / "proj.bin", 4)


class Hostile:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("save", [torch.save, lambda x, path: path.write_bytes(pickle.dumps(x))])
def test_a_pickle_that_runs_something_is_refused(tmp_path, save):
    save({"weight": Hostile(tmp_path / "made")}, tmp_path / "proj.bin")
    with pytest.raises(ValueError, match="damaged or holds more than tensors"):
        read_proj(tmp_path / "proj.bin", 4)
    assert not (tmp_path / "made").exists()


def test_parts(tmp_path):
    part = torch.nn.Linear(4, 3)
    save_part(part, tmp_path, "part")
    assert torch.equal(read_part(tmp_path, "part")["weight"], part.weight)
    save_part(None, tmp_path, "part")
    assert read_part(tmp_path, "part") is None and list(tmp_path.iterdir()) == []
    save_part(None, tmp_path, "part")


def test_truncated_files(tmp_path):
    save_proj(torch.nn.Linear(4, 3), tmp_path / "proj.bin")
    save_part(torch.nn.Linear(4, 3), tmp_path, "head")
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match="damaged"):
        read_proj(tmp_path / "proj.bin", 4)
    with pytest.raises(ValueError, match="damaged"):
        read_part(tmp_path, "head")
    (tmp_path / "proj.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="damaged"):
        read_proj(tmp_path / "proj.bin", 4)


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    encoder = make_encoder()
    save_bert(encoder.bert, tmp_path / "bert")
    before = {path.name: path.read_bytes() for path in (tmp_path / "bert").iterdir()}
    assert before.keys() == {"config.json", "model.safetensors"}

    def fail(state, path, metadata):
        save_file(dict(list(state.items())[:2]), path, metadata)
        raise OSError("No space left on device")

    monkeypatch.setattr("stofm_pyg.models.cell_encoder.files.save_file", fail)
    with pytest.raises(OSError, match="No space left"):
        save_bert(make_encoder(seed=1).bert, tmp_path / "bert")
    assert {path.name: path.read_bytes() for path in (tmp_path / "bert").iterdir()} == before
