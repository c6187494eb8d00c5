import json
import pickle
import shutil

import pytest

from stofm_pyg.corpus import Corpus, CorpusDataset


def edited(corpus, tmp_path, edit):
    """A folder with a changed manifest of a corpus."""
    content = json.loads((corpus.directory / "manifest.json").read_text())
    del content["checksum"]
    edit(content)
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    return tmp_path


def test_what_it_holds(corpus, vocab, settings):
    assert repr(corpus) == "Corpus(4 slices, 240 cells)"
    assert corpus.names == ["a", "b:x", "b:y", "b:z"] and len(corpus) == 4
    assert corpus.num_cells == 240 and corpus.missing == []
    assert corpus.settings == settings and corpus.vocab == vocab


def test_select(corpus):
    some = corpus.select(["b:z", "a"])
    assert some.names == ["b:z", "a"] and some.num_cells == 140
    assert corpus.names == ["a", "b:x", "b:y", "b:z"]
    assert some.fingerprint != corpus.fingerprint
    assert corpus.select(corpus.names).fingerprint == corpus.fingerprint
    assert corpus.select("a").names == ["a"] and corpus.select([]).names == []
    with pytest.raises(ValueError, match="'b:w' is not in 'corpus.names'.* Did you mean 'b:"):
        corpus.select(["b:w"])
    with pytest.raises(ValueError, match="'a' is selected twice"):
        corpus.select(["a", "a"])
    with pytest.raises(ValueError, match="has no slice"):
        CorpusDataset(corpus.select([]))


def test_pickled(corpus):
    assert pickle.loads(pickle.dumps(corpus)).fingerprint == corpus.fingerprint


def test_no_corpus(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder .*none.*corpus build"):
        Corpus(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="is no corpus: it has no 'manifest.json'"):
        Corpus(tmp_path)


def test_another_version(corpus, tmp_path):
    edited(corpus, tmp_path, lambda content: content.update(version=99))
    with pytest.raises(ValueError, match="has version 99 of the format, .* reads version 2"):
        Corpus(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged .*Run 'corpus build' again"),
        ("[]", "is no manifest of a corpus"),
        ('{"format": "other"}', "is no manifest of a corpus"),
    ],
)
def test_a_damaged_manifest(tmp_path, text, message):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        Corpus(tmp_path)


def test_a_manifest_with_unknown_settings(corpus, tmp_path):
    edited(corpus, tmp_path, lambda content: content["settings"].update(odd=1))
    with pytest.raises(ValueError, match="manifest of .* is damaged: TypeError: .*'odd'"):
        Corpus(tmp_path)


def test_missing_and_damaged_shards(corpus, tmp_path):
    edited(corpus, tmp_path, lambda content: None)
    with pytest.raises(FileNotFoundError, match="of slice 'a' is not there. Run 'corpus build'"):
        Corpus(tmp_path)
    (tmp_path / "shards").mkdir()
    for shard in corpus.shards:
        (tmp_path / "shards" / shard.path.name).write_bytes(shard.path.read_bytes()[:-3])
    size = corpus.shards[0].entry["bytes"]
    with pytest.raises(ValueError, match=f"it has {size - 3:,} bytes, {size:,} were written"):
        Corpus(tmp_path)


def test_another_vocabulary(corpus, tmp_path):
    edited(corpus, tmp_path, lambda content: content.update(slices=[], vocabulary="0" * 64))
    (tmp_path / "vocab.json").write_bytes((corpus.directory / "vocab.json").read_bytes())
    with pytest.raises(ValueError, match="is not the vocabulary that the corpus was made with"):
        _ = Corpus(tmp_path).vocab


def test_a_shard_that_is_gone_is_damaged(corpus, tmp_path):
    shutil.copytree(corpus.directory, tmp_path / "corpus")
    copied = Corpus(tmp_path / "corpus")
    assert copied.damaged() == []
    copied.shards[1].path.unlink()
    assert copied.damaged() == [copied.shards[1].path]
