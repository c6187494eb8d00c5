"""Files that are cut short or of which a bit has changed: found out, and made again or refused."""

import json
import pickle
import zipfile

import numpy as np
import pytest
import torch
from scipy import sparse
from torch_geometric.data import Data

from stofm_pyg.corpus import Corpus, FeatureStore, build_corpus
from stofm_pyg.corpus.shard import Shard
from stofm_pyg.corpus.shard_file import is_intact, write_shard
from stofm_pyg.data import CellTokens, GeneVocab, SliceSettings
from stofm_pyg.datasets import generate_tissue
from stofm_pyg.datasets._slice_cache import load_slices, save_slices
from stofm_pyg.models import SToFM
from stofm_pyg.models.cell_encoder.cache import EmbeddingCache
from stofm_pyg.models.features import GivenFeatures, PCAFeatures, load_features
from stofm_pyg.train import Checkpoints

KEY = "0" * 32
MOST = 60
X = torch.arange(24.0).view(8, 3)


def checkpoint(folder):
    Checkpoints(folder).save(3, {"x": X, "note": [1, "a"]})

    def read():
        state = Checkpoints(folder).load_newest()
        return state["x"].tolist(), state["note"]

    return read


def cache(folder):
    save_slices([Data(x=X, name="a")], folder / "slices.pt")

    def read():
        found = load_slices(folder / "slices.pt")
        return None if found is None else (found[0].x.tolist(), found[0].name)

    return read


def embeddings(folder):
    kept = EmbeddingCache(folder, "k" * 32)
    kept.save(X)

    def read():
        found = kept.load((8, 3))
        return None if found is None else found.tolist()

    return read


def shard(folder):
    write_shard(folder, KEY, {"x": X}, {"cells": 8})
    return lambda: "whole" if is_intact(folder, KEY) else None


def store(folder):
    entry = {"key": KEY, "name": "a", "cells": 8, "subpatches": 1, "part_ptr": [0, 8]}
    pos = torch.stack([torch.arange(8.0), torch.zeros(8)], dim=1).double()
    own = Shard(entry, {"order": torch.arange(8), "pos": pos})
    kept = FeatureStore(SliceSettings(virtual_cells=False), folder)
    kept.write(own, X)
    kept.write_rings(own)

    def read():
        again = FeatureStore(kept.settings, folder)
        if not again.has(own):
            return None
        again.write_rings(own)  # Made again where they are not what was written.
        return again.open(own).get_tensor("x").tolist(), again.open_rings(own).tolist()

    return read


def features(folder):
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (100, 8)).astype(np.float32)
    adata = generate_tissue(1, 100, num_genes=8, num_unobserved=0)
    adata.X = sparse.csr_matrix(counts)
    made = PCAFeatures.fit([adata], 3)
    made.save(folder)
    wanted = made.fingerprint()
    return lambda: "whole" if load_features(folder).fingerprint() == wanted else None


def model(folder):
    torch.manual_seed(0)
    made = SToFM(in_channels=4, hidden_channels=4, num_layers=1, heads=2, ffn_channels=4)
    made.features = GivenFeatures(np.arange(1.0, 5.0))
    made.save_pretrained(folder)

    def read():
        found = SToFM.from_pretrained(folder)
        weights = {name: value.tolist() for name, value in found.state_dict().items()}
        return weights, found.config, found.settings, found.read_out, found.features.fingerprint()

    return read


def vocabulary(folder):
    made = GeneVocab({"A": 2, "B": 3}, {"A": 1.0, "B": 2.0}, {"a": "A"})
    made.save(folder / "vocab.json")
    return lambda: GeneVocab.load(folder / "vocab.json").fingerprint


def tokens(folder):
    CellTokens(torch.arange(12, dtype=torch.int32), torch.tensor([0, 4, 12])).save(folder / "tokens")

    def read():
        found = CellTokens.load(folder / "tokens")
        return found.tokens.tolist(), found.ptr.tolist(), found.fingerprint

    return read


KINDS = (checkpoint, cache, embeddings, shard, store, features, model, vocabulary, tokens)


def outcome(read, expected):
    """What became of a damaged file: "whole" where the damage touched nothing, else how it was told."""
    try:
        found = read()
    except (ValueError, OSError) as error:
        assert str(error), "an error without a word"
        return "refused"
    if found is None:
        return "made again"
    return "whole" if found == expected else "USED"


def damages(raw):
    """Cut at every tenth byte, or at most so many places, and one bit of a byte changed at as many."""
    for size in range(0, len(raw), max(10, len(raw) // MOST)):
        yield f"cut at {size}", raw[:size]
    for place in range(0, len(raw), max(1, len(raw) // MOST)):
        changed = bytearray(raw)
        changed[place] ^= 1 << (place % 8)
        yield f"bit {place % 8} of byte {place}", bytes(changed)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_damaged_file_is_used(kind, tmp_path, caplog):
    caplog.set_level("CRITICAL")
    read = kind(tmp_path)
    expected = read()
    seen = set()
    for path in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
        raw = path.read_bytes()
        for told, changed in damages(raw):
            path.write_bytes(changed)
            found = outcome(read, expected)
            assert found != "USED", f"{path.name}, {told}"
            seen.add(found)
        path.write_bytes(raw)
        assert read() == expected
    assert seen & {"refused", "made again"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    adata = generate_tissue(1, 100, num_genes=12, num_unobserved=0)
    adata.write_h5ad(folder / "a.h5ad")
    settings = SliceSettings(cells_per_part=30, radius=3.0, max_length=8)
    build_corpus([folder / "a.h5ad"], folder / "corpus", GeneVocab.from_slices([adata]), settings)
    return folder / "corpus"


def test_no_damaged_manifest_is_used(corpus):
    path = corpus / "manifest.json"
    raw = path.read_bytes()
    expected = Corpus(corpus).fingerprint, Corpus(corpus).shards[0].entry
    for told, changed in damages(raw):
        path.write_bytes(changed)
        try:
            found = Corpus(corpus)
        except (ValueError, OSError):
            continue
        assert (found.fingerprint, found.shards[0].entry) == expected, told
    path.write_bytes(raw)


def test_a_shard_that_changed_on_the_disk_is_named(corpus):
    assert Corpus(corpus).damaged() == []
    path = Corpus(corpus).shards[0].path
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 4
    path.write_bytes(bytes(raw))
    assert Corpus(corpus).damaged() == [path]
    assert Corpus(corpus).damaged((1, 2)) == []
    raw[-5] ^= 4
    path.write_bytes(bytes(raw))


def test_a_report_whose_numbers_changed(tmp_path):
    write_shard(tmp_path, KEY, {"x": X}, {"cells": 8})
    path = tmp_path / "shards" / f"{KEY}.json"
    report = json.loads(path.read_text())
    path.write_text(json.dumps(report | {"cells": 9}))
    assert not is_intact(tmp_path, KEY)


def test_a_checkpoint_that_is_compressed_is_not_read(tmp_path):
    """`torch.load` would make of a few bytes as many as it is told."""
    checkpoint(tmp_path)
    path = next(tmp_path.glob("step-*.pt"))
    with zipfile.ZipFile(path) as file:
        parts = {part.filename: file.read(part) for part in file.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, raw in parts.items():
            file.writestr(name, raw)
    with pytest.raises(ValueError, match="All 1 checkpoints in .* are damaged"):
        Checkpoints(tmp_path).load_newest()
    path.write_bytes(pickle.dumps({"x": 1}))
    with pytest.raises(ValueError, match="All 1 checkpoints in .* are damaged"):
        Checkpoints(tmp_path).load_newest()
