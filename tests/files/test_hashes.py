import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg._files import bounded_text, checked, sealed, unzip

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
CONTENT = st.dictionaries(st.text(max_size=4).filter(lambda key: key != "checksum"), VALUES, max_size=4)


@given(CONTENT)
def test_what_is_sealed_is_checked(content):
    written = json.loads(json.dumps(sealed(content)))
    assert checked(written) == json.loads(json.dumps(content))
    assert sealed(sealed(content)) == sealed(content)
    assert checked(content) == content  # Of a release before there were checksums.
    with pytest.raises(ValueError, match="is not what was written"):
        checked({**written, "more": 1})


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_a_text_of_some_length(name, tmp_path):
    path = tmp_path / name
    raw = "gène\n".encode() * 1000
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    assert unzip(path, len(raw)) == raw
    with bounded_text(path, len(raw)) as file:
        assert list(file) == ["gène\n"] * 1000


def test_a_text_that_is_too_long(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(bytes(5000)))
    with pytest.raises(ValueError, match="it holds more than 4,999 bytes"):
        unzip(path, 4999)
    with bounded_text(path, 100) as file, pytest.raises(ValueError, match="it holds more than 100"):
        file.read()
