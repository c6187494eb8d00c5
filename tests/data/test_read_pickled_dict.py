import os
import pickle

import numpy as np
import pytest

from stofm_pyg.data.read_pickled_dict import read_pickled_dict


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def write(folder, content, name="table.pkl"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    return path


@pytest.mark.parametrize(
    "table, kind, expected",
    [
        ({"a": np.int16(3), "b": 4}, int, {"a": 3, "b": 4}),
        ({"a": np.float64(0.5), "b": 2}, float, {"a": 0.5, "b": 2.0}),
        ({"a": "x"}, str, {"a": "x"}),
        ({}, int, {}),
    ],
)
def test_values_and_types(tmp_path, table, kind, expected):
    found = read_pickled_dict(write(tmp_path, table), kind)
    assert found == expected
    assert all(type(value) is kind for value in found.values())


def test_hostile_file(tmp_path):
    victim = tmp_path / "victim"
    path = write(tmp_path, {"a": Touch(victim)})
    with pytest.raises(ValueError, match=r"table.pkl' is refused: it tries to import '\w+\.mkdir'"):
        read_pickled_dict(path, int)
    assert not victim.exists()


@pytest.mark.parametrize("cut", [0, 1, 15, 60, -1])
def test_truncated_file(tmp_path, cut):
    raw = pickle.dumps({f"gene{i}": i for i in range(50)})
    with pytest.raises(ValueError, match="truncated, damaged or no pickle"):
        read_pickled_dict(write(tmp_path, raw[:cut]), int)


@pytest.mark.parametrize("raw", [b"gene,token\n", b"\x80\x04h\x00.", b"\x80\xff.", b"(l0\nI1\na.x"])
def test_no_pickle_of_a_dictionary(tmp_path, raw):
    with pytest.raises(ValueError, match="table.pkl'"):
        read_pickled_dict(write(tmp_path, raw), int)


@pytest.mark.parametrize(
    "content, kind, message",
    [
        ([("a", 1)], int, "holds a list, expected a dictionary"),
        ({"a": "ENSG1"}, int, "holds 'a': 'ENSG1', expected .* type int"),
        ({"a": 1.5}, int, "holds 'a': 1.5"),
        ({"a": True}, float, "holds 'a': True"),
        ({1: "a"}, str, "holds 1: 'a'"),
    ],
)
def test_another_table(tmp_path, content, kind, message):
    with pytest.raises(ValueError, match=message):
        read_pickled_dict(write(tmp_path, content), kind)
