import logging
from pathlib import Path

import pytest
import torch

from stofm_pyg.train import Checkpoints
from stofm_pyg.train.engine import checkpoints


def save(kept, *steps):
    for step in steps:
        kept.save(step, {"step": step, "x": torch.full((300,), float(step)), "nested": {"a": [1, None]}})


def test_the_last_two_are_kept(tmp_path):
    kept = Checkpoints(tmp_path / "new" / "folder")
    assert kept.load_newest() is None
    save(kept, 5, 90, 100, 1000)
    assert [path.name for path in kept.paths()] == ["step-00001000.pt", "step-00000100.pt"]
    assert len(list(kept.folder.iterdir())) == 2
    state = kept.load_newest()
    assert state["step"] == 1000 and state["nested"] == {"a": [1, None]}
    assert torch.equal(state["x"], torch.full((300,), 1000.0))


@pytest.mark.parametrize("damage", ["cut", "empty", "bit", "text"])
def test_a_damaged_one_falls_back(tmp_path, caplog, damage):
    kept = Checkpoints(tmp_path)
    save(kept, 1, 2)
    newest = kept.paths()[0]
    raw = bytearray(newest.read_bytes())
    at = raw.index(torch.full((300,), 2.0).numpy().tobytes()) + 600
    raw[at] ^= 1
    whole = {"cut": raw[:-100], "empty": b"", "bit": raw, "text": b"no checkpoint"}[damage]
    newest.write_bytes(whole)
    with caplog.at_level(logging.WARNING):
        assert kept.load_newest()["step"] == 1
    assert "step-00000002.pt" in caplog.text and "damaged and passed over" in caplog.text


def test_all_damaged(tmp_path):
    kept = Checkpoints(tmp_path)
    save(kept, 1, 2)
    for path in kept.paths():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="All 2 checkpoints in .* are damaged; remove them"):
        kept.load_newest()


def test_a_file_that_would_import_something_is_refused(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    kept = Checkpoints(tmp_path)
    save(kept, 1)
    kept.save(2, {"step": 2, "x": Hostile()})
    (tmp_path / "owned").unlink(missing_ok=True)
    assert kept.load_newest()["step"] == 1
    assert not (tmp_path / "owned").exists()


def test_a_write_that_breaks_off_leaves_no_file(tmp_path):
    kept = Checkpoints(tmp_path)
    save(kept, 1)
    with pytest.raises((AttributeError, TypeError, RuntimeError, Exception)) as error:
        kept.save(2, {"x": lambda: None})
    assert "lambda" in str(error.value) or "pickle" in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.pt"]


def test_what_a_killed_process_has_left_is_removed(tmp_path):
    for name in (".step-00000001.pt.0a1b2c3d.tmp", ".best.pt.0a1b2c3d.tmp"):
        (tmp_path / name).write_text("half of it")
    (tmp_path / ".hidden").write_text("mine")
    save(Checkpoints(tmp_path), 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "step-00000002.pt"]


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "step-last.pt").write_text("mine")
    kept = Checkpoints(tmp_path, keep=1)
    save(kept, 1, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002.pt", "step-last.pt"]


def test_keep():
    with pytest.raises(ValueError, match=r"'keep' must be at least 1 \(got 0\)"):
        Checkpoints("somewhere", keep=0)


def test_repr():
    assert repr(Checkpoints("a/b", 3)) == "Checkpoints('a/b', keep=3)"


def test_the_best_is_kept_however_old(tmp_path):
    kept = Checkpoints(tmp_path, keep=2)
    assert kept.load_best() is None
    for step, score in enumerate([5.0, 3.0, None, 4.0, float("nan"), 3.0], start=1):
        kept.save(step, {"step": step, "x": torch.full((3,), float(step))}, score)
    best = kept.load_best()
    assert best["step"] == 2 and best["score"] == 3.0 and torch.equal(best["x"], torch.full((3,), 2.0))
    assert kept.load_newest()["step"] == 6 and len(list(tmp_path.iterdir())) == 3
    # Another run knows the score of the best, too.
    again = Checkpoints(tmp_path)
    again.save(7, {"step": 7}, 3.5)
    assert again.load_best()["step"] == 2
    again.save(8, {"step": 8}, 2.5)
    assert again.load_best() == {"step": 8, "score": 2.5}


def test_a_damaged_best(tmp_path, caplog):
    kept = Checkpoints(tmp_path)
    kept.save(1, {"step": 1}, 1.0)
    kept.best_path.write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="best.pt' is damaged .* remove it, and the next"):
        kept.load_best()
    again = Checkpoints(tmp_path)
    with caplog.at_level(logging.WARNING):
        again.save(2, {"step": 2}, 9.0)
    assert "best.pt' is damaged" in caplog.text
    assert again.load_best()["step"] == 2 and again.load_newest()["step"] == 2


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no /dev/full")
def test_a_full_disk_is_an_error_that_the_command_line_prints(tmp_path, monkeypatch):
    kept = Checkpoints(tmp_path)
    save(kept, 1)
    # As if the disk were full: each write fails.
    monkeypatch.setattr(checkpoints, "write_atomically", lambda path, write: write(Path("/dev/full")))
    with pytest.raises(OSError) as error:
        kept.save(2, {"x": torch.zeros(100_000)}, score=0.5)
    assert error.value.errno == 28 and kept.load_newest()["step"] == 1
    assert kept.best_score == float("inf")
