import hashlib
import json

import pytest
import torch

from stofm_pyg.corpus.shard_file import VERSION, is_intact, read_report, shard_path, write_shard

TENSORS = {"a": torch.arange(100), "b": torch.ones(50, 2).t()}


@pytest.fixture
def path(tmp_path):
    write_shard(tmp_path, "key", TENSORS, {"cells": 100})
    return shard_path(tmp_path, "key")


def test_the_report(path, tmp_path):
    content = path.read_bytes()
    assert read_report(tmp_path, "key") == {
        "format": "stofm_pyg.corpus.shard",
        "version": VERSION,
        "key": "key",
        "cells": 100,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert is_intact(tmp_path, "key") and not is_intact(tmp_path, "other")


def test_a_truncated_shard_is_noticed(path, tmp_path):
    path.write_bytes(path.read_bytes()[:-1])
    assert read_report(tmp_path, "key") is None and not is_intact(tmp_path, "key")


def test_a_flipped_bit_is_noticed_by_the_checksum(path, tmp_path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert read_report(tmp_path, "key") is not None and not is_intact(tmp_path, "key")


def test_a_shard_without_report_counts_as_none(path, tmp_path):
    path.with_suffix(".json").unlink()
    assert read_report(tmp_path, "key") is None and not is_intact(tmp_path, "key")


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"format": "stofm_pyg.corpus.shard", "version": 1}'])
def test_a_damaged_report_counts_as_none(path, tmp_path, text):
    path.with_suffix(".json").write_text(text)
    assert read_report(tmp_path, "key") is None


def test_a_report_of_another_version_counts_as_none(path, tmp_path):
    report = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(report | {"version": VERSION - 1}))
    assert read_report(tmp_path, "key") is None


def test_what_a_killed_process_left_is_removed(path, tmp_path):
    path.with_name(".key.safetensors.1.tmp").write_bytes(b"half")
    path.with_name(".other.safetensors.1.tmp").write_bytes(b"half")
    write_shard(tmp_path, "key", TENSORS, {})
    assert [file.name for file in path.parent.glob("*.tmp")] == [".other.safetensors.1.tmp"]
