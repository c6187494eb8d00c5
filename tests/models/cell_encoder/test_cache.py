import logging
import os

import pytest
import torch
from safetensors.torch import save_file

from stofm_pyg.models.cell_encoder.cache import EmbeddingCache, hash_tensors


def test_whatever_differs_gives_another_hash():
    x = torch.arange(6.0)
    variants = [
        ({"x": x}, {"a": 1}),
        ({"x": x}, {"a": 2}),
        ({"x": x}, {}),
        ({"y": x}, {"a": 1}),
        ({"x": x.view(2, 3)}, {"a": 1}),
        ({"x": x.double()}, {"a": 1}),
        ({"x": x.view(torch.int32)}, {"a": 1}),
        ({"x": x + 1e-6}, {"a": 1}),
        ({"x": x, "y": x}, {"a": 1}),
        ({"x": x[:0]}, {"a": 1}),
    ]
    assert len({hash_tensors(*variant) for variant in variants}) == len(variants)


def test_what_is_equal_gives_the_same_hash():
    x = torch.arange(6.0).view(2, 3)
    a = hash_tensors({"x": x.t()}, {"a": 1, "b": 2})
    assert a == hash_tensors({"x": x.t().contiguous().requires_grad_()}, {"b": 2, "a": 1})
    assert len(hash_tensors({"x": x.bfloat16()}, {})) == 64


KEY = "a" * 64


def make(tmp_path):
    cache = EmbeddingCache(tmp_path / "new" / "cache", KEY)
    x = torch.randn(5, 3)
    cache.save(x)
    return cache, x


def test_round_trip(tmp_path, caplog):
    cache, x = make(tmp_path)
    again = EmbeddingCache(tmp_path / "new" / "cache", KEY)
    assert torch.equal(again.load((5, 3)), x)
    assert EmbeddingCache(tmp_path, KEY).load((5, 3)) is None
    assert [path.name for path in cache.path.parent.iterdir()] == [cache.path.name]
    assert caplog.text == ""


def damage(path, how, x):
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[:-7])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "half written":  # Of full size, as a file system may leave it.
        path.write_bytes(content[:-24] + bytes(24))
    elif how == "no safetensors":
        path.write_bytes(b"\x80\x04embedding" * 9)
    elif how == "other":
        save_file({"x": x}, path)
    elif how == "other key":
        EmbeddingCache(path.parent, "b" * 64).save(x)
        os.replace(path.parent / f"cells_{'b' * 32}.safetensors", path)


@pytest.mark.parametrize(
    "how", ["truncated", "empty", "half written", "no safetensors", "other", "other key"]
)
def test_a_damaged_file_is_not_trusted(tmp_path, caplog, how):
    cache, x = make(tmp_path)
    damage(cache.path, how, x)
    with caplog.at_level(logging.WARNING):
        assert cache.load((5, 3)) is None
    assert str(cache.path) in caplog.text and "made again" in caplog.text
    cache.save(x)
    assert torch.equal(cache.load((5, 3)), x)


def test_another_size_is_not_trusted(tmp_path, caplog):
    cache, _ = make(tmp_path)
    assert cache.load((6, 3)) is None
    assert "of shape [5, 3], not [6, 3]" in caplog.text


def test_a_file_that_cannot_be_written_costs_nothing_but_a_warning(tmp_path, caplog):
    cache, x = make(tmp_path)
    cache.path.unlink()
    cache.path.mkdir()
    cache.save(x)
    assert "The embeddings are not kept" in caplog.text
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        EmbeddingCache(tmp_path / "file", KEY)
