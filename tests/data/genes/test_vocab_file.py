import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.data.genes.vocab_file import damaged, read_vocab, write_vocab

CONTENT = st.dictionaries(
    st.text().filter(lambda key: key not in ("format", "version")),
    st.lists(st.one_of(st.text(), st.integers(), st.floats(allow_nan=False, allow_infinity=False))),
)


@given(content=CONTENT, suffix=st.sampled_from([".json", ".json.gz"]))
def test_round_trip(tmp_path_factory, content, suffix):
    path = tmp_path_factory.mktemp("vocab") / f"vocab{suffix}"
    write_vocab(path, content)
    found = read_vocab(path)
    assert (found.pop("format"), found.pop("version")) == ("stofm_pyg.GeneVocab", 1)
    assert found == content


def test_is_json_with_name_and_version_alone_in_its_folder(tmp_path):
    write_vocab(tmp_path / "new" / "vocab.json", {"a": [1]})
    text = (tmp_path / "new" / "vocab.json").read_text()
    assert json.loads(text) == {"format": "stofm_pyg.GeneVocab", "version": 1, "a": [1]}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["vocab.json"]


def test_the_same_content_is_the_same_file(tmp_path):
    for name in ("a.json.gz", "b.json.gz"):
        write_vocab(tmp_path / name, {"a": [1]})
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.json.gz").read_bytes()).startswith(b"{")


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "vocab.json"
    write_vocab(path, {"a": 1})
    before = path.read_bytes()
    with pytest.raises(ValueError):
        write_vocab(path, {"a": float("nan")})
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["vocab.json", "vocab.json.gz"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95])
def test_truncated(tmp_path, name, share):
    path = tmp_path / name
    write_vocab(path, {"genes": [f"GENE{i}" for i in range(200)]})
    raw = path.read_bytes()
    path.write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(ValueError, match=rf"{name}' \([\d,]+ bytes\) is truncated or damaged"):
        read_vocab(path)


def test_flipped_bytes_of_a_compressed_file(tmp_path):
    path = tmp_path / "vocab.json.gz"
    write_vocab(path, {"genes": [f"GENE{i}" for i in range(200)]})
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(ValueError, match="truncated or damaged"):
        read_vocab(path)


@pytest.mark.parametrize(
    "text, message",
    [
        ("[]", "is no vocabulary"),
        ('{"format": "other", "version": 1}', "is no vocabulary"),
        ('{"format": "stofm_pyg.GeneVocab"}', "version None, this release reads version 1"),
        ('{"format": "stofm_pyg.GeneVocab", "version": 2}', "version 2, .* Update stofm_pyg"),
        ("\x80\x04}.", "truncated or damaged"),
    ],
)
def test_other_files(tmp_path, text, message):
    (tmp_path / "vocab.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=message):
        read_vocab(tmp_path / "vocab.json")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="'GeneVocab.from_geneformer'"):
        read_vocab(tmp_path)


def test_damaged(tmp_path):
    (tmp_path / "a").write_text("abc")
    assert "a' (3 bytes) is truncated or damaged (why)" in str(damaged(tmp_path / "a", "why"))
