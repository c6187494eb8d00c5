import hashlib
import os
import shutil

import pytest

from stofm_pyg.corpus import plan
from stofm_pyg.corpus.plan import FileHashes, plan_slices
from stofm_pyg.data.genes.orthologues import Orthologues
from stofm_pyg.data.slices.reader import SliceReader


def test_a_file_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"one" * 1000)
    os.utime(path, (1_000_000, 1_000_000))
    want = hashlib.sha256(b"one" * 1000).hexdigest()
    assert FileHashes(tmp_path / "kept")(path) == want
    with monkeypatch.context() as patch:
        patch.setattr(plan, "file_hash", None)
        assert FileHashes(tmp_path / "kept")(path) == want

    path.write_bytes(b"two" * 1000)  # As long, but changed later.
    assert FileHashes(tmp_path / "kept")(path) == hashlib.sha256(b"two" * 1000).hexdigest()


def test_a_file_that_may_still_change_is_not_trusted(tmp_path):
    path, hashes = tmp_path / "a", FileHashes(tmp_path / "kept")
    path.write_bytes(b"one")
    assert hashes(path) == hashlib.sha256(b"one").hexdigest()
    stat = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert hashes(path) == hashlib.sha256(b"two").hexdigest()


def test_what_is_kept_may_be_damaged(tmp_path):
    path, hashes = tmp_path / "a", FileHashes(tmp_path / "kept")
    path.write_bytes(b"one")
    os.utime(path, (1_000_000, 1_000_000))
    for text in ("", "[]", "3", '{"sha256": 3}'):
        hashes(path)
        (kept,) = (tmp_path / "kept").iterdir()
        kept.write_text(text)
        assert hashes(path) == hashlib.sha256(b"one").hexdigest()


def test_slices_by_name_in_any_order_of_files(files, vocab, settings, tmp_path):
    hashes = FileHashes(tmp_path)
    planned, failures = plan_slices(files, hashes, settings, vocab)
    assert [item.name for item in planned] == ["a", "b:x", "b:y", "b:z"] and failures == []
    assert [item.slice for item in planned] == ["s0", "x", "y", "z"]
    assert [item.file for item in planned] == [files[0]] + [files[1]] * 3
    assert plan_slices(files[::-1], hashes, settings, vocab, workers=2)[0] == planned


def test_the_key_is_of_content_and_settings_not_of_the_path(files, vocab, settings, tmp_path):
    hashes = FileHashes(tmp_path)

    def keys(files, settings, orthologues=None, vocab=vocab):
        return [item.key for item in plan_slices(files, hashes, settings, vocab, orthologues)[0]]

    first = keys(files[:1], settings)
    shutil.copy(files[0], tmp_path / "moved.h5ad")
    assert keys([tmp_path / "moved.h5ad"], settings) == first
    assert keys(files[:1], settings, Orthologues([])) == first
    others = [
        keys(files[:1], settings.replace(seed=1)),
        keys(files[:1], settings.replace(radius=2.6)),
        keys(files[:1], settings, Orthologues([("Gad1", "GAD1")], {})),
        keys(files[:1], settings, vocab=None),
    ]
    assert len({first[0], *(key for (key,) in others)}) == 5


def test_what_features_depend_on_and_a_path_do_not_count_for_the_key(files, vocab, settings, tmp_path):
    hashes = FileHashes(tmp_path)
    first = plan_slices(files, hashes, settings, vocab)[0]
    for change in (
        {"num_features": 7},
        {"virtual_cells": False},
        {"max_clusters": 3},
        {"alpha": 0.7},
        {"orthologues": "table.csv"},
    ):
        assert plan_slices(files, hashes, settings.replace(**change), vocab)[0] == first, change


def test_the_column_of_slices(files, make_adata, vocab, settings, tmp_path):
    adata = make_adata(20)
    del adata.obs["slice"]
    adata.write_h5ad(tmp_path / "none.h5ad")
    both, hashes = [tmp_path / "none.h5ad", files[1]], FileHashes(tmp_path / "hashes")
    planned, failures = plan_slices(both, hashes, settings, vocab)
    assert [item.name for item in planned] == ["b:x", "b:y", "b:z", "none"] and failures == []
    assert planned[-1].slice == ""
    planned, failures = plan_slices(both, hashes, settings.replace(slice_key="section"), vocab)
    assert planned == [] and len(failures) == 2
    assert all("'section' is not in 'adata.obs'" in failure.reason for failure in failures)
    planned, failures = plan_slices(both, hashes, settings.replace(slice_key=None), vocab)
    assert [item.name for item in planned] == ["none"]
    assert "tells 3 slices apart" in failures[0].reason and "lie on one another" in failures[0].reason


def test_what_cannot_be_had(files, vocab, settings, tmp_path):
    (tmp_path / "broken.h5ad").write_bytes(b"no")
    shutil.copy(files[0], tmp_path / "z.h5ad")
    planned, failures = plan_slices(
        [files[0], tmp_path / "broken.h5ad", tmp_path / "z.h5ad"], FileHashes(tmp_path), settings, vocab
    )
    assert len(planned) == 1
    broken, twice = sorted(failures, key=lambda failure: failure.slice)
    assert broken.file.name == "broken.h5ad" and "truncated, damaged" in broken.reason
    assert twice.slice == "s0" and "already; name it once" in twice.reason


def test_another_version_of_shards_has_other_keys(files, vocab, settings, tmp_path, monkeypatch):
    hashes = FileHashes(tmp_path)
    first = {item.key for item in plan_slices(files, hashes, settings, vocab)[0]}
    monkeypatch.setattr(plan, "VERSION", 99)
    assert first.isdisjoint(item.key for item in plan_slices(files, hashes, settings, vocab)[0])


@pytest.mark.parametrize("error", [KeyError("odd"), AttributeError("odd"), RecursionError("odd")])
def test_an_error_of_any_kind_is_of_its_file_alone(error, files, vocab, settings, tmp_path, monkeypatch):
    def reader(file, settings):
        if file == files[1]:
            raise error
        return SliceReader(file, settings)

    monkeypatch.setattr(plan, "SliceReader", reader)
    planned, failures = plan_slices(files, FileHashes(tmp_path), settings, vocab)
    assert [item.file for item in planned] == [files[0]]
    assert [failure.file for failure in failures] == [files[1]]
    assert failures[0].reason.startswith(f"{type(error).__name__}: ") and "odd" in failures[0].reason
