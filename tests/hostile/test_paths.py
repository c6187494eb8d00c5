"""Names of files that lead out of the folder that they belong to."""

import json
from types import SimpleNamespace

import huggingface_hub
import pytest

from stofm_pyg.corpus import Corpus
from stofm_pyg.models import SToFM

OUTSIDE = ("../secret", "/etc/secret", "a/../../secret", "..", "", "a\\..\\secret", "C:secret", None)


@pytest.mark.parametrize("key", OUTSIDE)
def test_a_manifest(key, tmp_path):
    folder = tmp_path / "corpus"
    (folder / "shards").mkdir(parents=True)
    (tmp_path / "secret.safetensors").write_bytes(b"secret")
    entry = {"name": "a", "file": "a", "slice": "", "key": key, "cells": 1, "subpatches": 1,
             "part_ptr": [0, 1], "bytes": 6, "sha256": ""}  # fmt: skip
    content = {"format": "stofm_pyg.corpus", "version": 2, "vocabulary": None, "settings": {},
               "slices": [entry], "missing": []}  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="names a shard .* no name of a file in its folder|damaged"):
        Corpus(folder)


@pytest.mark.parametrize("name", ["../../secret.json", "/etc/secret.json", "a\\..\\b.json", "C:/x.json"])
def test_a_list_of_files_of_the_hub(name, tmp_path, monkeypatch):
    files = [SimpleNamespace(rfilename="config.json"), SimpleNamespace(rfilename=name)]

    def download(*args, **kwargs):
        raise AssertionError("was downloaded")

    monkeypatch.setattr(
        huggingface_hub.HfApi, "model_info", lambda *a, **k: SimpleNamespace(siblings=files)
    )
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(ValueError, match="would be written outside of its folder; nothing was down"):
        SToFM.from_pretrained("user/model", cache_dir=tmp_path)
