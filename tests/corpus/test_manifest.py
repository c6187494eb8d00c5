import json
import shutil

from stofm_pyg._files import checked
from stofm_pyg.corpus import manifest
from stofm_pyg.corpus.manifest import summary, write_manifest
from stofm_pyg.corpus.plan import FileHashes, plan_slices


def test_content(corpus, settings, vocab):
    content = json.loads((corpus.directory / "manifest.json").read_text())
    assert content["vocabulary"] == vocab.fingerprint
    assert content["settings"]["cells_per_part"] == 20
    assert set(content["versions"]) == {"stofm_pyg", "torch", "anndata"}
    assert [entry["name"] for entry in content["slices"]] == ["a", "b:x", "b:y", "b:z"]
    for entry, shard in zip(content["slices"], corpus.shards, strict=True):
        assert entry["bytes"] == shard.path.stat().st_size and entry["seconds"] > 0
        assert entry["unmatched"] == ["GENE28", "GENE29"]
    total = content["summary"]
    assert (total["slices"], total["missing"], total["cells"]) == (4, 0, 240)
    assert total["tokens"] == sum(shard.tokens().tokens.numel() for shard in corpus.shards)
    assert summary(content).startswith("4 slices, 240 cells in ")
    assert summary(content).endswith("bytes; 0 cells without genes")


def test_a_shard_that_comes_while_it_is_written_is_in_it(
    corpus, files, vocab, settings, tmp_path, monkeypatch
):
    planned, _ = plan_slices(files, FileHashes(tmp_path / "files"), settings, vocab)
    (tmp_path / "shards").mkdir()

    def finish(number):
        for suffix in (".safetensors", ".json"):
            name = corpus.shards[number].key + suffix
            shutil.copy(corpus.directory / "shards" / name, tmp_path / "shards" / name)

    write = manifest.write_atomically
    late = [2, 3]

    def slow(path, how):
        if late:
            finish(late.pop(0))
        write(path, how)

    finish(0)
    monkeypatch.setattr(manifest, "write_atomically", slow)
    content = write_manifest(tmp_path, planned, settings, vocab.fingerprint)
    assert checked(json.loads((tmp_path / "manifest.json").read_text())) == content
    assert [entry["name"] for entry in content["slices"]] == ["a", "b:y", "b:z"]
    assert content["missing"] == [
        {"name": "b:x", "file": str(files[1]), "slice": "x", "key": corpus.shards[1].key}
    ]
    assert summary(content).endswith("; missing slices: 1")
