import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError

from stofm_pyg._files import (
    file_hash,
    hashes,
    save_torch,
    saved_together,
    write_atomically,
    write_together,
)

ROOT = Path(__file__).resolve().parents[1]


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "note.txt"
    for text in ("first", "second"):
        write_atomically(path, lambda temporary, text=text: temporary.write_text(text))
        assert path.read_text() == text
        assert os.listdir(tmp_path) == ["note.txt"]


def test_the_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("old")
    seen = []

    def write(temporary):
        temporary.write_text("new")
        seen.append((temporary.parent, path.read_text(), sorted(os.listdir(tmp_path))))

    write_atomically(path, write)
    folder, text, names = seen[0]
    assert folder == tmp_path and text == "old"
    assert len(names) == 2 and names[0].startswith(".note.txt.") and names[1] == "note.txt"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("begun", [False, True])
def test_a_failing_writer_leaves_the_old_file_alone(tmp_path, error, begun):
    path = tmp_path / "note.txt"
    path.write_text("old")

    def write(temporary):
        if begun:
            temporary.write_text("ha")
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, write)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["note.txt"]


def test_a_failing_writer_leaves_no_new_file(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_atomically(tmp_path / "note.txt", lambda temporary: 1 / 0)
    assert os.listdir(tmp_path) == []


def test_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "no" / "note.txt", lambda temporary: temporary.touch())


@given(st.binary(max_size=100), st.integers(1, 40))
def test_hash_of_a_file(tmp_path_factory, content, block):
    path = tmp_path_factory.mktemp("hash") / "file"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashes, "BYTES_PER_READ", block)
        assert file_hash(path) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "error, number",
    [
        (SafetensorError("Error while serializing: I/O error: No space left (os error 28)"), 28),
        (RuntimeError("Can't decrement id ref count (unable to extend file, errno = 27, e..."), 27),
        (OSError(28, "Can't synchronously write data (file write failed: time = now\n, buf = 0x5)"), 28),
        (OSError(122, "Disk quota exceeded"), 122),
        (OSError(5, "Input/output error"), 5),
        (PermissionError(13, "Permission denied", ".note.txt.0a1b2c3d.tmp"), 13),
        (OSError(30, "Read-only file system"), 30),
    ],
)
def test_a_disk_that_refuses_is_an_oserror_of_one_sentence(tmp_path, error, number):
    path = tmp_path / "note.txt"
    path.write_text("old")

    def write(temporary):
        temporary.write_text("ha")
        raise error

    with pytest.raises(OSError) as told:
        write_atomically(path, write)
    assert told.value.errno == number
    assert str(told.value) == f"[Errno {number}] {os.strerror(number)}: '{path}'"
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["note.txt"]


@pytest.mark.parametrize(
    "error", [RuntimeError("a shape"), ValueError("os error"), FileNotFoundError(2, "no")]
)
def test_other_errors_stay_what_they_are(tmp_path, error):
    def write(temporary):
        raise error

    with pytest.raises(type(error)) as told:
        write_atomically(tmp_path / "note.txt", write)
    assert told.value is error


def test_an_error_that_came_of_one_of_the_disk(tmp_path):
    def write(temporary):
        try:
            raise OSError(28, "No space left on device")
        except OSError as error:
            raise RuntimeError("[enforce fail at inline_container.cc:672]") from error

    with pytest.raises(OSError, match="No space left on device: '.*note.txt'"):
        write_atomically(tmp_path / "note.txt", write)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no /dev/full")
@pytest.mark.parametrize("size", [1, 100_000])
def test_torch_tells_of_a_full_disk(size):
    with pytest.raises(OSError) as told:
        save_torch({"x": torch.zeros(size)}, Path("/dev/full"))
    assert told.value.errno == 28


def test_torch_reads_what_was_saved(tmp_path):
    state = {"x": torch.rand(1000), "nested": {"a": [1, None, "b"]}}
    save_torch(state, tmp_path / "state.pt")
    read = torch.load(tmp_path / "state.pt", weights_only=True)
    assert torch.equal(read["x"], state["x"]) and read["nested"] == state["nested"]


def test_files_that_are_written_together(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"

    def full(temporary):
        raise OSError(28, "No space left on device")

    write_together({one: lambda part: part.write_text("1"), two: lambda part: part.write_text("2")})
    with pytest.raises(OSError, match="No space left on device: '.*two'"):
        write_together({one: lambda part: part.write_text("new"), two: full})
    assert (one.read_text(), two.read_text()) == ("1", "2")
    assert sorted(os.listdir(tmp_path)) == ["one", "two"]


def test_a_folder_that_is_saved_together(tmp_path):
    folder = tmp_path / "new" / "model"
    with saved_together(folder, ("head",)) as part:
        (part / "sub").mkdir()
        (part / "sub" / "weights").write_text("1")
        (part / "head").write_text("1")
    with pytest.raises(ZeroDivisionError), saved_together(folder, ("head",)) as part:
        (part / "head").write_text("2")
        raise ZeroDivisionError
    assert (folder / "sub" / "weights").read_text() == (folder / "head").read_text() == "1"
    (folder / "notes").write_text("mine")
    with saved_together(folder, ("head",)) as part:
        (part / "sub").mkdir()
        (part / "sub" / "weights").write_text("3")
    assert sorted(os.listdir(folder)) == ["notes", "sub"]
    assert (folder / "sub" / "weights").read_text() == "3"


def full_disk(*command):
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    assert "0 kinds of files lost" in ended.stdout


def test_files_of_every_kind_at_a_limit(tmp_path):
    full_disk(sys.executable, "-m", "tests.full_disk", str(tmp_path), "1000000")


def test_files_of_every_kind_on_a_small_disk(tmp_path):
    mount = f"mount -t tmpfs -o size=1m none '{tmp_path}'"
    own = ("unshare", "-rm", "sh", "-c")
    if shutil.which("unshare") is None or subprocess.run([*own, mount], capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here")
    full_disk(*own, f"{mount} && '{sys.executable}' -m tests.full_disk '{tmp_path}'")
