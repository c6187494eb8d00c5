"""What a killed process was writing goes when another one writes there; what is being written stays."""

import os
import subprocess
import sys

import pytest

from stofm_pyg._files import check_writable, left, locked, saving, write_atomically


@pytest.fixture(autouse=True)
def look_again(monkeypatch):
    monkeypatch.setattr(left, "_cleared", set())


def dead_pid():
    process = subprocess.Popen([sys.executable, "-S", "-c", "pass"])
    process.wait()
    return process.pid


def leave(folder, pid, machine=None):
    """A file and a folder of a process that was writing a file `a`."""
    machine = machine or left._machine()
    (folder / f".a.{machine}-{pid}-0a1b2c3d.tmp").write_text("half")
    (folder / f".saving-{machine}-{pid}-0a1b2c3d").mkdir()
    (folder / f".saving-{machine}-{pid}-0a1b2c3d" / "weights").write_text("half")


def names(folder):
    return sorted(os.listdir(folder))


def save(folder):
    with saving(folder):
        pass


def lock(folder):
    with locked(folder):
        pass


@pytest.mark.parametrize(
    "use", [lambda folder: write_atomically(folder / "b", lambda part: part.touch()), save, lock]
)
def test_what_a_killed_process_left_is_removed(use, tmp_path):
    leave(tmp_path, dead_pid())
    (tmp_path / ".mine.tmp").write_text("mine")
    use(tmp_path)
    assert set(names(tmp_path)) - {"b"} == {".mine.tmp"}


@pytest.mark.parametrize(
    ("pid", "machine"), [(os.getpid(), None), (None, "0123abcd")], ids=["own", "elsewhere"]
)
def test_what_may_be_written_now_stays(pid, machine, tmp_path):
    leave(tmp_path, pid or dead_pid(), machine)
    before = names(tmp_path)
    write_atomically(tmp_path / "b", lambda part: part.touch())
    assert set(names(tmp_path)) == {*before, "b"}


def test_names_tell_whose_they_are(tmp_path):
    for path in (left.part_of(tmp_path / "a.b"), left.part_in(tmp_path)):
        match = left.LEFT.fullmatch(path.name)
        assert match is not None and str(os.getpid()) in match.groups() and path.parent == tmp_path
    assert left.part_of(tmp_path / "a") != left.part_of(tmp_path / "a")


def test_a_folder_that_can_be_written_to(tmp_path):
    check_writable(tmp_path / "new" / "run")
    assert names(tmp_path) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file, in whose place a folder is needed"):
        check_writable(tmp_path / "file" / "run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match=f"Permission denied: '{tmp_path}'"):
            check_writable(tmp_path / "run")
    finally:
        tmp_path.chmod(0o700)
