import json
import os
import pickle
import re

import pytest
import torch
from safetensors.torch import save_file

from stofm_pyg.models import CellEncoder, FeatureScale
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


def flipped(path, place=-3):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def edited(path):
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "hidden_act": "gelu"}))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("cell_bert/model.safetensors", flipped),
        ("cell_bert/config.json", edited),
        ("cell_proj.bin", flipped),
        ("gene_head.safetensors", flipped),
        ("feature_scale.safetensors", flipped),
    ],
)
def test_a_damaged_encoder_is_refused(tmp_path, name, damage):
    encoder = make_encoder(gene_head=True)
    encoder.scale = FeatureScale(6, 4)
    encoder.save_pretrained(tmp_path)
    assert CellEncoder.from_pretrained(tmp_path).fingerprint() == encoder.fingerprint()
    damage(tmp_path / name)
    for read in (CellEncoder.from_pretrained, CellEncoder.from_official):
        with pytest.raises(ValueError, match=f"{name}' is damaged, or not the file that belongs to"):
            read(tmp_path)


def test_a_part_that_is_gone_or_of_another_encoder(tmp_path):
    make_encoder(gene_head=True).save_pretrained(tmp_path / "a")
    make_encoder(seed=1).save_pretrained(tmp_path / "b")
    (tmp_path / "a" / "gene_head.safetensors").rename(tmp_path / "b" / "gene_head.safetensors")
    with pytest.raises(FileNotFoundError, match="has no 'gene_head.safetensors'; copy the encoder"):
        CellEncoder.from_pretrained(tmp_path / "a")
    with pytest.raises(ValueError, match="gene_head.safetensors' is damaged, or not the file"):
        CellEncoder.from_pretrained(tmp_path / "b")


def test_the_hashes_are_checked_too(tmp_path):
    make_encoder().save_pretrained(tmp_path)
    path = tmp_path / "encoder.json"
    for text in ("", "[]", '{"files": 3}', path.read_text().replace("cell_proj.bin", "cell_proj2.bin")):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"encoder.json' is damaged .*save the encoder again"):
            CellEncoder.from_pretrained(tmp_path)


def test_an_encoder_from_before_there_were_hashes(tmp_path):
    encoder = make_encoder(gene_head=True)
    encoder.save_pretrained(tmp_path)
    (tmp_path / "encoder.json").unlink()
    assert CellEncoder.from_pretrained(tmp_path).fingerprint() == encoder.fingerprint()
    save_file({"other": torch.ones(3)}, tmp_path / "gene_head.safetensors")
    with pytest.raises(ValueError, match="is damaged, or its files are of several encoders"):
        CellEncoder.from_pretrained(tmp_path)
