"""Every write of every kind of file fails once: one sentence, and what was there before is whole."""

import errno
import os
import shutil

import numpy as np
import pytest
import torch
from anndata import AnnData

from benchmarks.results import Results
from stofm_pyg.commands.outputs import write_h5ad
from stofm_pyg.corpus import FeatureStore
from stofm_pyg.corpus.manifest import write_manifest
from stofm_pyg.corpus.shard import Shard
from stofm_pyg.data import SliceSettings
from stofm_pyg.train.pretraining.curves import PretrainCurves
from tests import full_disk
from tests.failing_disk import failing

ERRORS = (errno.ENOSPC, errno.EACCES, errno.EIO)


def store(folder, size):
    """Features of a shard, and the rings around its cells."""
    x = torch.arange(3.0 * size).view(size, 3)
    entry = {"key": "0" * 32, "name": "a", "cells": size, "subpatches": 1, "part_ptr": [0, size]}
    line = torch.stack([torch.arange(float(size)), torch.zeros(size)], dim=1).double()
    shard = Shard(entry, {"order": torch.arange(size), "pos": line})
    kept = FeatureStore(SliceSettings(virtual_cells=False), folder)
    kept.write(shard, x)


def manifest(folder, size):
    write_manifest(folder, [], SliceSettings(radius=float(size)), None)


def results(folder, size):
    found = Results(folder, ["ari"])
    found.settings = {"task": "t", "data": "d", "size": size}
    found.write(finished=True)


def embedded(folder, size):
    adata = AnnData(np.ones((size, 2), dtype=np.float32))
    adata.obsm["X_stofm"] = np.full((size, 3), float(size))
    write_h5ad(adata, folder / "out.h5ad")


KINDS = {kind.__name__: kind for kind in (*full_disk.KINDS, store, manifest, results, embedded)}


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("name", KINDS)
def test_each_write_fails_once(name, tmp_path):
    kind, first, copy = KINDS[name], tmp_path / "first", tmp_path / "copy"
    first.mkdir()
    kind(first, 10)
    before = content(first)
    shutil.copytree(first, copy)
    with failing(copy) as counted:
        kind(copy, 20)
    shutil.rmtree(copy)
    renames = [number for number, (what, _) in enumerate(counted.writes) if what == "replace"]
    assert renames and content(first) == before
    for number in range(1, len(counted.writes) + 1):
        error = ERRORS[number % 3]
        shutil.copytree(first, copy)
        with pytest.raises(OSError) as told, failing(copy, number, error):
            kind(copy, 20)
        message = str(told.value)
        assert told.value.errno in (error, None) and "\n" not in message, (number, message)
        assert str(copy) in message and ".tmp" not in message and ".saving" not in message, message
        after = content(copy)
        if number - 1 <= renames[0]:  # Nothing has taken the place of anything yet.
            assert after == before, counted.writes[number - 1]
        assert not [path for path in after if path.endswith(".tmp") or ".saving" in path]
        assert set(after) <= set(before) | {"step-00000020.pt"}
        shutil.rmtree(copy)


@pytest.mark.parametrize("error", ERRORS)
def test_curves_that_cannot_be_written(error, tmp_path):
    with failing(tmp_path) as counted:
        curves = PretrainCurves(tmp_path, "whole", 0, 3, 0.0, True, bar=False)
        curves.add(1, {"loss": 1.0})
        curves.flush()
        curves.close()
    writes = [number for number, (what, _) in enumerate(counted.writes, 1) if what == "write"]
    assert writes
    for number in (1, writes[0], writes[-1]):
        with pytest.raises(OSError) as told, failing(tmp_path, number, error):
            curves = PretrainCurves(tmp_path, f"stage{number}", 0, 3, 0.0, True, bar=False)
            curves.add(1, {"loss": 1.0})
            curves.flush()
        assert told.value.errno == error
        place = tmp_path / f"stage{number}"
        assert str(told.value) == f"[Errno {error}] {os.strerror(error)}: '{place}'"
