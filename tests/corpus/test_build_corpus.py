import json
import logging
import os
import shutil

import anndata
import numpy as np
import pytest
import torch

from stofm_pyg._files import locked
from stofm_pyg.corpus import Corpus, CorpusDataset, FailedSlices, FeatureStore, build_corpus
from stofm_pyg.corpus import _build_corpus as build
from stofm_pyg.data import GeneVocab, RankValueTokenizer, SliceSettings, from_anndata
from stofm_pyg.data.slices.cell_order import name_order
from stofm_pyg.data.slices.reader import SliceReader
from stofm_pyg.loader import SpatialClusterData
from stofm_pyg.models.features import ObsmFeatures, PCAFeatures, load_features


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
    other = build_corpus(files[:1], out, vocab, settings.replace(cells_per_part=45))
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
    with pytest.raises(ValueError, match="made with a vocabulary or with features, one of both"):
        build_corpus(files, tmp_path, settings=settings)
    with pytest.raises(ValueError, match="made with a vocabulary or with features, one of both"):
        build_corpus(files, tmp_path, vocab, settings, features=ObsmFeatures("X_own", np.ones(3)))
    assert os.listdir(tmp_path) == []


def opened(corpus, features):
    """What keeps the features of a corpus."""
    return FeatureStore(corpus.settings, corpus.features / features.fingerprint()[:16])


def test_with_features(feature_corpus, corpus, features, readers):
    assert feature_corpus.names == corpus.names and not feature_corpus.has_tokens
    assert load_features(feature_corpus.features).fingerprint() == features.fingerprint()
    store = opened(feature_corpus, features)
    parts = {name: reader.read_by_name(name)[0] for reader in readers for name in reader.rows}
    for shard, other in zip(feature_corpus.shards, corpus.shards, strict=True):
        for name in ("pos", "cell_id", "order", "edge_ptr", "edge_col", "edge_attr", "part_ptr"):
            assert torch.equal(shard.tensor(name), other.tensor(name)), name
        x = features.encode(parts[shard.entry["slice"]])
        assert torch.equal(store.open(shard).get_tensor("x"), x[shard.order])
        assert len(store.open(shard).get_tensor("virtual_x")) <= 6


def test_a_run_with_features_goes_on(feature_corpus, files, features, settings, tmp_path, caplog):
    def run(settings=settings, features=features, **arguments):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            out = build_corpus(files, tmp_path, settings=settings, features=features, **arguments)
        return out, int(caplog.text.split(" of 4 slices are there already")[0].split()[-1])

    out, there = run(workers=2)
    assert there == 0 and out.fingerprint == feature_corpus.fingerprint
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.safetensors"))
    for path in made:
        assert (tmp_path / path).read_bytes() == (feature_corpus.directory / path).read_bytes()
    assert run()[1] == 4
    # Without its features a slice is not whole.
    shard = out.shards[1]
    (path,) = tmp_path.glob(f"features/*/{shard.key}.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    assert run()[1] == 3 and opened(out, features).has(shard)
    # Other clusters, with the same shards.
    other, there = run(settings.replace(max_clusters=2))
    assert there == 0 and shards(tmp_path) == shards(feature_corpus.directory)
    assert len(opened(other, features).open(shard).get_tensor("virtual_x")) == 2
    # Other features come to lie beside them.
    few = PCAFeatures.fit([SliceReader(files[0]).read("s0")], 3)
    other, there = run(features=few)
    assert there == 0 and opened(other, few).open(shard).get_slice("x").get_shape() == [50, 3]
    assert load_features(other.features).fingerprint() == few.fingerprint()


def test_with_features_in_obsm(make_adata, settings, tmp_path):
    adata = make_adata(60)
    adata.obsm["X_own"] = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
    del adata.X  # Counts are not asked for.
    adata.write_h5ad(tmp_path / "a.h5ad")
    features = ObsmFeatures("X_own", np.array([2.0, 1.0, 0.5]))
    corpus = build_corpus(tmp_path / "a.h5ad", tmp_path / "o", settings=settings, features=features)
    (shard,) = corpus.shards
    want = features.encode(adata[name_order(adata.obs_names)].copy())
    assert torch.equal(opened(corpus, features).open(shard).get_tensor("x"), want[shard.order])


def test_features_that_fail_name_the_slice(make_adata, files, features, settings, tmp_path):
    adata = make_adata(60)
    adata.var_names = [f"OTHER{i}" for i in range(30)]
    adata.write_h5ad(tmp_path / "c.h5ad")
    with pytest.raises(FailedSlices, match=r"c.h5ad', slice 's0': Only 0 of the model's 30 genes"):
        build_corpus(
            [files[0], tmp_path / "c.h5ad"], tmp_path / "o", settings=settings, features=features
        )
    out = Corpus(tmp_path / "o")
    assert out.names == ["a"] and out.missing == ["c"]
    assert opened(out, features).has(out.shards[0])


def test_a_folder_of_features_that_gets_tokens(files, features, vocab, settings, tmp_path):
    build_corpus(files[:1], tmp_path, settings=settings, features=features)
    corpus = build_corpus(files[:1], tmp_path, vocab, settings)
    assert corpus.has_tokens and corpus.features is None


def test_slices_by_a_column(make_adata, vocab, settings, tmp_path):
    adata = make_adata(90, ("u", "v"))
    adata.obs = adata.obs.rename(columns={"slice": "section"})
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    # No column of the default name: one slice.
    assert build_corpus(path, tmp_path / "1", vocab, settings).names == ["a"]
    by_section = settings.replace(slice_key="section")
    assert build_corpus(path, tmp_path / "2", vocab, by_section).names == ["a:u", "a:v"]
    with pytest.raises(FailedSlices, match="'patient' is not in 'adata.obs'"):
        build_corpus(path, tmp_path / "3", vocab, settings.replace(slice_key="patient"))
    adata.obs["slice"] = adata.obs["section"]
    adata.write_h5ad(path)
    with pytest.raises(FailedSlices, match="of which 'u' and 'v' lie on one another"):
        build_corpus(path, tmp_path / "4", vocab, settings.replace(slice_key=None))


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
    corpus = build_corpus(path, tmp_path, vocab, SliceSettings(cells_per_part=300))
    assert [shard.num_cells for shard in corpus.shards] == [1049, 1053, 1088]
    adata = anndata.read_h5ad(path)
    adata = adata[(adata.obs["slice"] == corpus.names[2].partition(":")[2]).to_numpy()].copy()
    data = from_anndata(adata)
    parts = SpatialClusterData(data, 300, transform=lambda part: part)
    tokens = RankValueTokenizer(vocab)(adata)
    store = FeatureStore(corpus.settings)
    store.write(corpus.shards[2], data.x[: adata.n_obs][name_order(adata.obs_names)])
    dataset = CorpusDataset(corpus.select(corpus.names[2:]), store, tokens=True)
    assert torch.equal(dataset.sizes, parts.sizes)
    for number in range(len(parts)):
        one, whole = dataset[number], parts[number]
        for key in ("x", "pos", "cluster", "node_type", "edge_index", "edge_attr"):
            assert torch.equal(one[key], whole[key]), key
        assert torch.equal(one.tokens, tokens[whole.cell_id[whole.cell_id >= 0]].tokens.long())


def test_links_are_called_by_their_own_names(files, vocab, settings, tmp_path):
    (tmp_path / "data").mkdir()
    for name, file in zip(("donor1", "donor2"), files, strict=True):
        (tmp_path / "blobs").mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / "blobs" / f"hash_of_{name[-1]}")
        (tmp_path / "data" / f"{name}.h5ad").symlink_to(f"../blobs/hash_of_{name[-1]}")
    links = sorted((tmp_path / "data").glob("*.h5ad"))
    corpus = build_corpus(links, tmp_path / "out", vocab, settings)
    assert corpus.names == ["donor1", "donor2:x", "donor2:y", "donor2:z"]
    entries = json.loads((tmp_path / "out" / "manifest.json").read_text())["slices"]
    assert {entry["file"] for entry in entries} == set(map(str, links))


def test_two_names_of_one_file_fail_as_one(files, vocab, settings, tmp_path):
    (tmp_path / "again.h5ad").symlink_to(files[0])
    (tmp_path / "hard.h5ad").hardlink_to(shutil.copy(files[0], tmp_path / "copy.h5ad"))
    named = [*files, *sorted(tmp_path.glob("*.h5ad"))]
    with pytest.raises(FailedSlices) as error:
        build_corpus(named, tmp_path / "out", vocab, settings)
    # The first of all by its path stays.
    first = min(path for path in named if path != files[1])
    others = sorted(path for path in named if path not in (files[1], first))
    assert [failure.file for failure in error.value.failures] == others and len(others) == 3
    assert all(f"it is in '{first}' already" in failure.reason for failure in error.value.failures)
    assert len(Corpus(tmp_path / "out")) == 4


def test_two_builds_at_once(files, vocab, settings, tmp_path):
    with locked(tmp_path):
        for share in ((0, 1), (0, 2)):
            with pytest.raises(OSError, match=f"'{tmp_path}' is in use: process"):
                build_corpus(files, tmp_path, vocab, settings, share=share)
    assert not (tmp_path / "manifest.json").exists()


def test_a_file_that_changes_while_it_is_read(make_adata, vocab, settings, tmp_path, monkeypatch):
    path, run_jobs = tmp_path / "a.h5ad", build.run_jobs
    make_adata(90, seed=1).write_h5ad(path)

    def changed_meanwhile(*args):
        make_adata(90, seed=5).write_h5ad(path)
        return run_jobs(*args)

    monkeypatch.setattr(build, "run_jobs", changed_meanwhile)
    with pytest.raises(FailedSlices, match="it was changed while it was read; run it again"):
        build_corpus(path, tmp_path / "corpus", vocab, settings)
    monkeypatch.undo()
    # What has the content of before is made of that, and not of what took its place.
    make_adata(90, seed=1).write_h5ad(path)
    one = build_corpus(path, tmp_path / "corpus", vocab, settings)
    other = build_corpus(path, tmp_path / "other", vocab, settings)
    assert shards(one.directory) == shards(other.directory)


def test_arguments_of_other_types(files, vocab, settings, tmp_path):
    with pytest.raises(TypeError, match=r"'vocab' must be a GeneVocab \(got str\)"):
        build_corpus(files, tmp_path / "a", "vocab.json", settings)
    with pytest.raises(TypeError, match=r"'settings' must be a SliceSettings \(got dict\)"):
        build_corpus(files, tmp_path / "a", vocab, {"radius": 3.0})
    with pytest.raises(NotADirectoryError, match="is a file, in whose place a folder is needed"):
        build_corpus(files, files[0], vocab, settings)
    assert not (tmp_path / "a").exists()
