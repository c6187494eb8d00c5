"""Small files that would become large ones."""

import gzip
import io
import json
import struct
import zipfile

import pytest
import torch

from stofm_pyg.data import CellTokens, GeneVocab
from stofm_pyg.data.genes.orthologues import Orthologues
from stofm_pyg.models.cell_encoder.files import read_proj
from stofm_pyg.models.features import load_features
from stofm_pyg.models.official.checkpoint import read_official_checkpoint
from stofm_pyg.train import PretrainConfig
from tests.hostile.memory import refused_within

BLOCK = bytes(2**24)


def bomb(path, megabytes=1024):
    """So many zeros, in a thousandth of the space."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(megabytes // 16):
            file.write(BLOCK)


@pytest.fixture(scope="module")
def bombs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bombs")
    bomb(folder / "vocab.json.gz", 320)
    (folder / "table.csv.gz").write_bytes((folder / "vocab.json.gz").read_bytes())
    return folder


def test_a_vocabulary_that_is_a_bomb(bombs):
    told = refused_within(lambda: GeneVocab.load(bombs / "vocab.json.gz"))
    assert "holds more than 268,435,456 bytes" in told and "vocab.json.gz" in told


def test_a_table_of_orthologues_that_is_a_bomb(bombs):
    told = refused_within(lambda: Orthologues.load(bombs / "table.csv.gz"))
    assert "table.csv.gz" in told


def test_a_vocabulary_that_is_nested_deeply(tmp_path):
    path = tmp_path / "vocab.json"
    path.write_text("[" * 100_000)
    assert "damaged" in refused_within(lambda: GeneVocab.load(path))


def test_weights_that_are_compressed(tmp_path):
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}, buffer)
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            new.writestr(part.filename, old.read(part))
    for read in (lambda: read_proj(path, 4), lambda: read_official_checkpoint(path)):
        with pytest.raises(ValueError, match="in it is compressed"):
            read()


@pytest.mark.parametrize("size", [2**62, 2**33, 100])
def test_a_header_of_absurd_size(size, tmp_path):
    raw = struct.pack("<Q", size) + b"{}"
    (tmp_path / "features.json").write_text('{"name": "given"}')
    for name in ("features.safetensors", "tokens", "weights.safetensors"):
        (tmp_path / name).write_bytes(raw)
    assert "damaged" in refused_within(lambda: load_features(tmp_path))
    assert "truncated or damaged" in refused_within(lambda: CellTokens.load(tmp_path / "tokens"))
    refused_within(lambda: read_official_checkpoint(tmp_path / "weights.safetensors"))


def test_a_tensor_of_absurd_shape(tmp_path):
    header = {"factor": {"dtype": "F64", "shape": [2**40, 2**20], "data_offsets": [0, 8]}}
    text = json.dumps(header).encode()
    (tmp_path / "features.json").write_text('{"name": "given"}')
    (tmp_path / "features.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    assert "damaged" in refused_within(lambda: load_features(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        "seed: !!python/object/apply:os.system ['touch run']",
        "seed: !!python/name:os.system",
        "!!python/object:stofm_pyg.models.SToFM {}",
        "seed: !mine 3",
    ],
)
def test_a_configuration_with_tags(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ValueError, match="is neither YAML nor JSON: could not determine a constructor"):
        PretrainConfig.read(tmp_path / "a.yaml")
    assert not (tmp_path / "run").exists()


def test_a_configuration_that_unfolds(tmp_path):
    """Each line has the one before ten times."""
    lines = ["a: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    path = tmp_path / "a.yaml"
    path.write_text("\n".join([*lines, "seed: *a9"]))
    assert "Unknown key 'a'" in refused_within(lambda: PretrainConfig.read(path))
    unfolding = "".join(line.replace("a: ", "x: ") + "\n" for line in lines)
    path.write_text(f"seed:\n  [{{{', '.join(unfolding.splitlines())}}}, *a9]\n")
    assert "'seed' takes a int" in refused_within(lambda: PretrainConfig.read(path))


def test_a_configuration_that_is_nested_deeply(tmp_path):
    for name in ("a.yaml", "a.json"):
        (tmp_path / name).write_text("[" * 100_000)
        told = refused_within(lambda name=name: PretrainConfig.read(tmp_path / name))
        assert "neither YAML nor JSON" in told
