import importlib
import json
import logging
import os
import shutil
from dataclasses import replace

import anndata
import pytest
import torch

from stofm_pyg.corpus import Corpus, CorpusDataset, CorpusSettings, FailedSlices, build_corpus
from stofm_pyg.data import GeneVocab, RankValueTokenizer, from_anndata
from stofm_pyg.loader import SpatialClusterData

build = importlib.import_module("stofm_pyg.corpus._build_corpus")


def shards(directory):
    """The content of all shards by name."""
    return {path.name: path.read_bytes() for path in sorted(directory.glob("shards/*.safetensors"))}


def times(directory):
    return {path.name: path.stat().st_mtime_ns for path in directory.glob("shards/*")}


def test_a_second_run_makes_nothing(corpus, files, vocab, settings, tmp_path, caplog):
    out = tmp_path / "out"
    shutil.copytree(corpus.directory, out)
    before = times(out)
    with caplog.at_level(logging.INFO):
        again = build_corpus(files[::-1], out, vocab, settings)
    assert "4 of 4 slices are there already" in caplog.text
    assert times(out) == before and again.fingerprint == corpus.fingerprint


def test_a_run_that_was_broken_off_goes_on(
    corpus, files, vocab, settings, tmp_path, monkeypatch, caplog
):
    write, written = build.write_shard, []

    def interrupted(directory, key, *args):
        if len(written) == 2:
            (directory / "shards" / f"{key}.safetensors").write_bytes(b"half")
            raise KeyboardInterrupt
        written.append(key)
        write(directory, key, *args)

    with monkeypatch.context() as patch:
        patch.setattr(build, "write_shard", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build_corpus(files, tmp_path, vocab, settings)
    assert not (tmp_path / "manifest.json").exists()
    before = times(tmp_path)
    with caplog.at_level(logging.INFO):
        out = build_corpus(files, tmp_path, vocab, settings)
    assert "2 of 4 slices are there already" in caplog.text
    assert "The shard of 'b:y' is damaged or half written" in caplog.text
    assert all(times(tmp_path)[f"{key}.safetensors"] == before[f"{key}.safetensors"] for key in written)
    assert shards(tmp_path) == shards(corpus.directory) and out.fingerprint == corpus.fingerprint


@pytest.mark.parametrize("damage", ["truncated", "changed", "report"])
def test_a_damaged_shard_is_made_again(corpus, files, vocab, settings, tmp_path, damage, caplog):
    out = tmp_path / "out"
    shutil.copytree(corpus.directory, out)
    path = out / "shards" / corpus.shards[2].path.name
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(ValueError, match="is damaged"):
            Corpus(out)
    elif damage == "changed":
        content = bytearray(path.read_bytes())
        content[-5] ^= 255
        path.write_bytes(content)
    else:
        path.with_suffix(".json").write_text("{")
    with caplog.at_level(logging.INFO):
        build_corpus(files, out, vocab, settings)
    assert "3 of 4 slices are there already" in caplog.text
    assert "The shard of 'b:y' is damaged" in caplog.text
    assert shards(out) == shards(corpus.directory)


def test_shares_make_the_whole_in_any_order(corpus, files, vocab, settings, tmp_path, caplog):
    last = build_corpus(files, tmp_path, vocab, settings, share=(1, 2))
    assert last.names == ["b:x", "b:z"] and last.missing == ["a", "b:y"]
    assert f"Slices missing from '{tmp_path}': 2, e.g. 'a'" in caplog.text
    with caplog.at_level(logging.INFO):
        whole = build_corpus(files[::-1], tmp_path, vocab, settings, share=(0, 2))
    assert "0 of 2 slices are there already" in caplog.text
    assert whole.missing == [] and whole.fingerprint == corpus.fingerprint
    assert shards(tmp_path) == shards(corpus.directory)


def test_a_share_without_slices(files, vocab, settings, tmp_path):
    out = build_corpus(files, tmp_path, vocab, settings, share=(4, 5))
    assert len(out) == 0 and out.missing == ["a", "b:x", "b:y", "b:z"]


def test_two_processes_make_the_same(corpus, files, vocab, settings, tmp_path):
    out = build_corpus(files, tmp_path, vocab, settings, workers=2)
    assert out.fingerprint == corpus.fingerprint
    assert shards(tmp_path) == shards(corpus.directory)


def test_other_settings_make_other_shards(corpus, files, vocab, settings, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(corpus.directory, out)
    other = build_corpus(files[:1], out, vocab, replace(settings, cells_per_part=45))
    assert other.names == ["a"] and other.shards[0].num_parts == 2
    assert len(shards(out)) == 5
    assert build_corpus(files, out, vocab, settings).fingerprint == corpus.fingerprint


def test_a_failure_does_not_lose_the_others(
    corpus, files, make_adata, vocab, settings, tmp_path, caplog
):
    adata = make_adata(100, ("good", "bad"), seed=5, mixed=False)
    adata.X.data[-1] = 0.5
    adata.write_h5ad(tmp_path / "c.h5ad")
    (tmp_path / "d.h5ad").write_bytes(b"no")
    with pytest.raises(FailedSlices) as error:
        build_corpus([*files, tmp_path / "c.h5ad", tmp_path / "d.h5ad"], tmp_path / "o", vocab, settings)
    names = [(failure.file.name, failure.slice) for failure in error.value.failures]
    assert names == [("d.h5ad", ""), ("c.h5ad", "bad")]
    text = str(error.value)
    assert "2 slices failed; what could be made is in" in text and "c.h5ad', slice 'bad': " in text
    assert "0.5" in text and "truncated" in text and "c.h5ad', slice 'bad'" in caplog.text
    out = Corpus(tmp_path / "o")
    assert out.names == ["a", "b:x", "b:y", "b:z", "c:good"] and out.missing == ["c:bad"]
    assert out.select(corpus.names).fingerprint == corpus.fingerprint


def test_wrong_arguments(files, vocab, settings, tmp_path):
    for share in ((2, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match=r"'share' must be \(k, n\) with 0 <= k < n"):
            build_corpus(files, tmp_path, vocab, settings, share=share)
    with pytest.raises(ValueError, match="'workers' must be at least 1"):
        build_corpus(files, tmp_path, vocab, settings, workers=0)
    with pytest.raises(ValueError, match="'files' is empty"):
        build_corpus([], tmp_path, vocab, settings)
    with pytest.raises(ValueError, match="is in 'files' twice"):
        build_corpus([files[0], files[0]], tmp_path, vocab, settings)
    with pytest.raises(FileNotFoundError, match="There is no file .*none.h5ad"):
        build_corpus(tmp_path / "none.h5ad", tmp_path, vocab, settings)
    assert os.listdir(tmp_path) == []


def test_the_vocabulary_is_there_before_the_manifest(files, vocab, settings, tmp_path, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "write_manifest", stop)
    with pytest.raises(KeyboardInterrupt):
        build_corpus(files[:1], tmp_path, vocab, settings)
    assert json.loads((tmp_path / "vocab.json").read_text())["fingerprint"] == vocab.fingerprint


@pytest.mark.realdata
def test_real_slices(real_slices, tmp_path):
    path = real_slices / "starmap_mpfc.h5ad"
    vocab = GeneVocab.from_slices([path])
    corpus = build_corpus(path, tmp_path, vocab, CorpusSettings(cells_per_part=300))
    assert [shard.num_cells for shard in corpus.shards] == [1049, 1053, 1088]
    adata = anndata.read_h5ad(path)
    adata = adata[(adata.obs["slice"] == corpus.names[2].partition(":")[2]).to_numpy()].copy()
    data = from_anndata(adata)
    parts = SpatialClusterData(data, 300, transform=lambda part: part)
    tokens = RankValueTokenizer(vocab)(adata)
    dataset = CorpusDataset(corpus.select(corpus.names[2:]), tokens=True)
    assert torch.equal(dataset.sizes, parts.sizes)
    for number in range(len(parts)):
        one, whole = dataset[number], parts[number]
        for key in ("pos", "cluster", "node_type", "edge_index", "edge_attr"):
            assert torch.equal(one[key], whole[key]), key
        assert torch.equal(one.tokens, tokens[whole.cell_id[whole.cell_id >= 0]].tokens.long())
