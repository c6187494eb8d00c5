import collections
import io
import os
import pickle
import pickletools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.data.genes.pickles import RefusedPickle, RestrictedUnpickler, read_pickled_dict

NUMBERS = st.one_of(
    st.integers(-(2**15), 2**15 - 1).map(np.int16),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.integers(0, 255).map(np.uint8),
    st.floats(allow_nan=False).map(np.float64),
    st.floats(allow_nan=False, width=32).map(np.float32),
)


def read(raw):
    return RestrictedUnpickler(io.BytesIO(raw)).load()


class Runs:
    """On unpickling calls a function with arguments, as hostile files do."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@given(
    table=st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), NUMBERS)),
    protocol=st.integers(3, pickle.HIGHEST_PROTOCOL),
)
def test_reads_strings_and_numbers_as_python_ones(table, protocol):
    found = read(pickle.dumps(table, protocol))
    assert found == table
    assert {type(value) for value in found.values()} <= {str, int, float}


def test_reads_the_module_names_of_older_numpy():
    raw = pickle.dumps(np.float64(2.5), protocol=4)
    new, old = b"\x8c\x16numpy._core.multiarray", b"\x8c\x15numpy.core.multiarray"
    assert new in raw
    size = len(raw) - 11 - 1  # A frame states its length after two bytes of protocol and a mark.
    frame = raw[:3] + size.to_bytes(8, "little")
    assert read(frame + raw[11:].replace(new, old)) == 2.5


def test_a_hostile_file_is_refused_by_name_and_runs_nothing(tmp_path):
    victim = tmp_path / "written_by_the_pickle"
    raw = pickle.dumps({"ENSG1": Runs(os.system, f"touch {victim}")})
    with pytest.raises(RefusedPickle, match=r"it tries to import '(posix|nt)\.system'"):
        read(raw)
    assert not victim.exists()
    pickle.loads(raw)  # The file is hostile indeed.
    assert victim.exists()


@pytest.mark.parametrize(
    "value, name",
    [
        (Runs(eval, "1 + 1"), "builtins.eval"),
        (Runs(getattr, "a", "upper"), "builtins.getattr"),
        (Runs(__import__, "os"), "builtins.__import__"),
        (collections.OrderedDict(a=1), "collections.OrderedDict"),
        (np.arange(3), "numpy._core.*"),
        (print, "builtins.print"),
    ],
    ids=["eval", "getattr", "import", "OrderedDict", "array", "function"],
)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_all_other_imports_are_refused(value, name, protocol):
    with pytest.raises(RefusedPickle, match="tries to import '(__builtin__|builtins|numpy|coll|copy|_)"):
        read(pickle.dumps(value, protocol))
    if protocol == 4:
        with pytest.raises(RefusedPickle, match=f"import '{name}"):
            read(pickle.dumps(value, protocol))


def reduce_numpy(code, raw, state=(3, "<", None, None, None, -1, -1, 0)):
    """A pickle of `scalar(dtype(code), raw)` with any arguments."""

    class DType:
        def __reduce__(self):
            return np.dtype, (code, False, True), state

    return pickle.dumps(Runs(np._core.multiarray.scalar, DType(), raw), protocol=4)


def test_the_helper_makes_what_numpy_makes():
    value = np.float64(1.25)
    assert read(reduce_numpy("f8", value.tobytes())) == 1.25
    assert pickle.loads(reduce_numpy("f8", value.tobytes())) == 1.25


def test_either_byte_order():
    big = (3, ">", None, None, None, -1, -1, 0)
    assert read(reduce_numpy("i2", b"\x01\x02")) == 513
    assert read(reduce_numpy("i2", b"\x01\x02", big)) == 258


@pytest.mark.parametrize(
    "code, raw, state, message",
    [
        ("O", b"12345678", (3, "|", None, None, None, -1, -1, 63), "type 'O'"),
        ("V8", b"12345678", (3, "|", None, None, None, 8, 1, 0), "type 'V8'"),
        ("f8", b"1234", (3, "<", None, None, None, -1, -1, 0), "wrong size"),
        ("f8", "12345678", (3, "<", None, None, None, -1, -1, 0), "no number"),
        ("f8", b"12345678", (3, "x", None, None, None, -1, -1, 0), "unknown type"),
        ("f8", b"12345678", (3,), "unknown type"),
    ],
)
def test_odd_scalars_are_refused(code, raw, state, message):
    with pytest.raises(RefusedPickle, match=message):
        read(reduce_numpy(code, raw, state))


def test_a_file_leaves_nothing_behind():
    """`BUILD` sets attributes on what a file was given; the stand-ins take none."""
    raw = pickletools.optimize(pickle.dumps(np.float64(1.0), protocol=4))
    name = raw.index(b"\x93") + 1
    while raw[name : name + 1] == b"\x94":
        name += 1
    hostile = raw[:2] + raw[11:name] + b"}\x8c\x01aK\x01sb."
    with pytest.raises(AttributeError):
        read(hostile)


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
