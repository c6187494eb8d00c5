import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

from stofm_pyg.corpus import plan as file_hashes
from stofm_pyg.corpus.plan import FileHashes, file_names, orthologues_fingerprint, plan_slices
from stofm_pyg.data.genes.orthologues import Orthologues


def test_a_file_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"one" * 1000)
    os.utime(path, (1_000_000, 1_000_000))
    want = hashlib.sha256(b"one" * 1000).hexdigest()
    assert FileHashes(tmp_path / "kept")(path) == want
    real = file_hashes.file_hash
    with monkeypatch.context() as patch:
        patch.setattr(file_hashes, "file_hash", None)
        assert FileHashes(tmp_path / "kept")(path) == want

    path.write_bytes(b"two" * 1000)  # As long, but changed later.
    assert FileHashes(tmp_path / "kept")(path) == hashlib.sha256(b"two" * 1000).hexdigest()
    assert file_hashes.file_hash is real


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


def test_names():
    assert file_names([]) == []
    assert file_names([Path("/d/a.h5ad"), Path("/d/b.h5ad")]) == ["a", "b"]
    assert file_names([Path("/d/1/a.h5ad"), Path("/d/2/a.h5ad")]) == ["1/a", "2/a"]
    assert file_names([Path("/a.h5ad"), Path("/a.h5")]) == ["/a.h5ad", "/a.h5"]


def test_slices_by_name_in_any_order_of_files(files, vocab, settings, tmp_path):
    hashes = FileHashes(tmp_path)
    planned, failures = plan_slices(files, hashes, vocab, settings)
    assert [item.name for item in planned] == ["a", "b:x", "b:y", "b:z"] and failures == []
    assert [item.slice for item in planned] == ["s0", "x", "y", "z"]
    assert [item.file for item in planned] == [files[0]] + [files[1]] * 3
    assert plan_slices(files[::-1], hashes, vocab, settings)[0] == planned


def test_the_key_is_of_content_and_settings_not_of_the_path(files, vocab, settings, tmp_path):
    hashes = FileHashes(tmp_path)

    def keys(files, settings, orthologues=None):
        return [item.key for item in plan_slices(files, hashes, vocab, settings, orthologues)[0]]

    first = keys(files[:1], settings)
    shutil.copy(files[0], tmp_path / "moved.h5ad")
    assert keys([tmp_path / "moved.h5ad"], settings) == first
    assert keys(files[:1], settings, Orthologues([])) == first
    others = [
        keys(files[:1], replace(settings, seed=1)),
        keys(files[:1], replace(settings, radius=2.6)),
        keys(files[:1], settings, Orthologues([("Gad1", "GAD1")], {})),
    ]
    assert len({first[0], *(key for (key,) in others)}) == 4


def test_what_cannot_be_had(files, vocab, settings, tmp_path):
    (tmp_path / "broken.h5ad").write_bytes(b"no")
    shutil.copy(files[0], tmp_path / "z.h5ad")
    planned, failures = plan_slices(
        [files[0], tmp_path / "broken.h5ad", tmp_path / "z.h5ad"], FileHashes(tmp_path), vocab, settings
    )
    assert len(planned) == 1
    broken, twice = sorted(failures, key=lambda failure: failure.slice)
    assert broken.file.name == "broken.h5ad" and "truncated, damaged" in broken.reason
    assert twice.slice == "s0" and "already; name it once" in twice.reason


def test_fingerprint_of_orthologues():
    one = orthologues_fingerprint(Orthologues([("A", "B"), ("A", "C")], {}))
    assert one == orthologues_fingerprint(Orthologues([("A", "B"), ("A", "C")], {}))
    assert one != orthologues_fingerprint(Orthologues([("A", "C"), ("A", "B")], {}))
    assert orthologues_fingerprint(None) is None
