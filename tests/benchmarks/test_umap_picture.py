import builtins

import numpy as np
import pytest

from benchmarks import umap_picture
from benchmarks.umap_picture import draw_umap

X = np.random.default_rng(0).normal(size=(60, 4))
PANELS = {"label": (np.arange(60) % 3 - 1, ["a", "b"]), "slice": (np.arange(60) // 30, ["s", "t"])}


def test_a_picture(tmp_path):
    pytest.importorskip("umap", reason="UMAP pictures need umap-learn")
    draw_umap(X, PANELS, tmp_path / "umap.png")
    assert (tmp_path / "umap.png").read_bytes().startswith(b"\x89PNG")


def test_without_the_package_a_word_says_so_once(tmp_path, monkeypatch, caplog):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "umap":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.setattr(umap_picture, "_said", [])
    for _ in range(2):
        draw_umap(X, PANELS, tmp_path / "umap.png")
    assert not (tmp_path / "umap.png").exists()
    assert caplog.text.count('pip install "stofm-pyg[benchmarks]"') == 1
