import os

import pytest

from stofm_pyg._files import write_atomically


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
