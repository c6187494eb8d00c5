from pathlib import Path

import pytest

from stofm_pyg.data.file_paths import file_paths


def test_one_or_more(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert file_paths("a.h5ad") == file_paths(Path("a.h5ad")) == [tmp_path / "a.h5ad"]
    assert file_paths([tmp_path / "b", "a"]) == [tmp_path / "b", tmp_path / "a"]
    monkeypatch.setenv("HOME", "/home/me")
    assert file_paths("~/x") == [Path("/home/me/x").resolve()]


def test_none_or_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="'files' is empty"):
        file_paths([])
    with pytest.raises(ValueError, match="is in 'files' twice"):
        file_paths(["a", tmp_path / "a"])
