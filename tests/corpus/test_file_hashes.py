import hashlib
import os

from stofm_pyg.corpus import file_hashes
from stofm_pyg.corpus.file_hashes import FileHashes


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
