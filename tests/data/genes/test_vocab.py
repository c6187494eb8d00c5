import json
import pickle

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from stofm_pyg.data import GeneVocab

TOKENS, MEDIANS = {"A": 2, "B": 3}, {"A": 0.5, "B": 2.0}


def make(counts, names):
    counts = np.asarray(counts, dtype=np.float32)
    return AnnData(sparse.csr_matrix(counts), var=pd.DataFrame(index=names))


def test_geneformer_v1(geneformer):
    vocab = GeneVocab.from_geneformer(geneformer)
    assert vocab.genes[:2] == ["ENSG00000141510", "ENSG00000128683"] and len(vocab.genes) == 7
    assert vocab.token_ids["ENSG00000141510"] == 2 and vocab.medians["ENSG00000141510"] == 2.5
    assert vocab.symbols["GAD1"] == "ENSG00000128683" and "NOT_IN_IT" not in vocab.symbols
    assert (vocab.pad_token_id, vocab.mask_token_id, vocab.eos_token_id) == (0, 1, None)
    assert vocab.cls_token_id == 9 and len(vocab) == 10  # CLS comes after the dictionary.
    assert repr(vocab) == "GeneVocab(7 genes, 6 symbols, 10 tokens)"


def test_geneformer_v2_from_the_hub(write_geneformer, tmp_path, monkeypatch):
    write_geneformer(tmp_path / "geneformer", "V2")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *args, **kwargs: str(tmp_path))
    vocab = GeneVocab.from_geneformer("someone/Geneformer")
    assert (vocab.pad_token_id, vocab.mask_token_id) == (0, 1)
    assert (vocab.cls_token_id, vocab.eos_token_id) == (2, 3)
    assert vocab.token_ids["ENSG00000141510"] == 4 and len(vocab) == 11


def test_tokens_of_genes_without_median_stay_reserved(geneformer):
    medians = pickle.loads((geneformer / "gene_median_dictionary.pkl").read_bytes())
    del medians["ENSG00000999999"]
    (geneformer / "gene_median_dictionary.pkl").write_bytes(pickle.dumps(medians))
    vocab = GeneVocab.from_geneformer(geneformer)
    assert "ENSG00000999999" not in vocab.genes
    assert vocab.cls_token_id == 9 and len(vocab) == 10


def test_genes_are_in_the_order_of_their_tokens():
    vocab = GeneVocab({"B": 5, "C": 2, "A": 3}, {"A": 1.0, "B": 2.0, "C": 3.0}, {"b": "B", "x": "X"})
    assert vocab.genes == ["C", "A", "B"] and list(vocab.medians.values()) == [3.0, 1.0, 2.0]
    assert vocab.symbols == {"b": "B"}
    assert vocab.cls_token_id == 6 and len(vocab) == 7
    assert len(GeneVocab(TOKENS, MEDIANS, cls_token_id=7)) == 8
    assert GeneVocab(TOKENS, MEDIANS, num_tokens=9).cls_token_id == 9


def test_from_slices(tmp_path):
    first = make([[1, 3], [2, 2]], ["Gad1", "Aqp4"])
    make([[9, 1, 0]], ["Aqp4", "Zic1", "Never"]).write_h5ad(tmp_path / "second.h5ad")
    vocab = GeneVocab.from_slices([first, tmp_path / "second.h5ad"])
    assert vocab.token_ids == {"Aqp4": 2, "Gad1": 3, "Zic1": 4}
    assert vocab.medians == {"Aqp4": 7500.0, "Gad1": 3750.0, "Zic1": 1000.0}
    assert (vocab.pad_token_id, vocab.mask_token_id, vocab.cls_token_id) == (0, 1, 5)
    assert vocab.eos_token_id is None and vocab.symbols == {} and len(vocab) == 6
    assert GeneVocab.from_slices(s for s in [tmp_path / "second.h5ad", first]) == vocab
    assert GeneVocab.from_slices(first) == GeneVocab.from_slices([first])


def test_a_vocabulary_from_slices_maps_by_its_own_names(make_adata):
    adata = make([[1, 3, 1], [2, 2, 0]], ["Gad1", "Aqp4", "Cd8b1"])
    mapping = GeneVocab.from_slices([adata]).map(adata[:, ["Cd8b1", "Gad1"]])
    assert mapping.token_ids.tolist() == [3, 4] and mapping.gene.tolist() == [0, 1]
    assert (mapping.share_genes, mapping.species, mapping.naming) == (1.0, "mouse", "symbol")
    assert "Warning" not in mapping.report and "Orthologues" not in mapping.report
    adata = make_adata(num_cells=50)
    assert GeneVocab.from_slices([adata]).map(adata).share_counts == 1.0


@pytest.mark.parametrize("slices", [[], [make(np.zeros((2, 3)), ["A", "B", "C"])]])
def test_slices_without_counts(slices):
    with pytest.raises(ValueError, match=f"No cell of the {len(slices)} slices"):
        GeneVocab.from_slices(slices)


def test_slices_with_normalised_counts():
    with pytest.raises(ValueError, match=r"1 fractional values.*Pass 'layer='"):
        GeneVocab.from_slices([make([[0.5, 2]], ["A", "B"])])


@pytest.mark.parametrize("name", ["vocab.json", "vocab.json.gz"])
@pytest.mark.parametrize("version", ["V1", "V2"])
def test_save_and_load(write_geneformer, tmp_path, name, version):
    vocab = GeneVocab.from_geneformer(write_geneformer(tmp_path / "tables", version))
    vocab.save(tmp_path / name)
    loaded = GeneVocab.load(tmp_path / name)
    assert loaded == vocab and loaded.fingerprint == vocab.fingerprint
    for key in ("genes", "token_ids", "medians", "symbols", "cls_token_id", "eos_token_id"):
        assert getattr(loaded, key) == getattr(vocab, key)
    assert len(loaded) == len(vocab)


NAMES = st.lists(st.text(), unique=True, min_size=1, max_size=8)
MEDIAN = st.floats(min_value=1e-300, max_value=1e300)


@given(data=st.data(), genes=NAMES, eos=st.booleans())
@settings(max_examples=40)
def test_any_vocabulary_survives_its_file(tmp_path_factory, data, genes, eos):
    tokens = data.draw(st.permutations(range(2 + eos, 2 + eos + len(genes))))
    vocab = GeneVocab(
        dict(zip(genes, tokens, strict=True)),
        {gene: data.draw(MEDIAN) for gene in genes},
        data.draw(st.dictionaries(st.text(), st.sampled_from(genes))),
        eos_token_id=2 if eos else None,
    )
    path = tmp_path_factory.mktemp("vocab") / "vocab.json.gz"
    vocab.save(path)
    loaded = GeneVocab.load(path)
    assert loaded == vocab and loaded.medians == vocab.medians and len(loaded) == len(vocab)


def change(path, **changes):
    content = json.loads(path.read_text())
    content.update(changes)
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"medians": [0.5, 2.5]}, "not what was saved"),
        ({"symbols": {"b": "B"}}, "not what was saved"),
        ({"fingerprint": "0" * 64}, "not what was saved"),
        ({"medians": [0.5]}, "ValueError: zip"),
        ({"medians": [0.5, "x"]}, "ValueError"),
        ({"medians": [0.5, -2.0]}, "median of 'B' is -2.0"),
        ({"token_ids": [2, 2]}, "tokens of their own"),
        ({"special": {"odd": 1}}, "TypeError"),
        ({"special": 3}, "TypeError"),
        ({"symbols": [1]}, "AttributeError"),
        ({"genes": None}, "KeyError: 'genes'"),
    ],
)
def test_a_changed_file(tmp_path, changes, message):
    path = tmp_path / "vocab.json"
    GeneVocab(TOKENS, MEDIANS).save(path)
    change(path, **changes)
    with pytest.raises(ValueError, match=f"truncated or damaged .*{message}"):
        GeneVocab.load(path)


def test_a_file_of_another_version(tmp_path):
    GeneVocab(TOKENS, MEDIANS).save(tmp_path / "vocab.json")
    change(tmp_path / "vocab.json", version=99)
    with pytest.raises(ValueError, match="version 99, this release reads version 1"):
        GeneVocab.load(tmp_path / "vocab.json")


def test_equality_and_fingerprint():
    vocab = GeneVocab(TOKENS, MEDIANS, {"a": "A", "b": "B"})
    same = GeneVocab({"B": 3, "A": 2}, {"B": 2, "A": 0.5}, {"b": "B", "a": "A"})
    assert vocab == same and hash(vocab) == hash(same) and len(vocab.fingerprint) == 64
    symbols = {"a": "A", "b": "B"}
    others = [
        GeneVocab({"A": 3, "B": 2}, MEDIANS, symbols),
        GeneVocab(TOKENS, {"A": 0.5, "B": 2.0000001}, symbols),
        GeneVocab(TOKENS, MEDIANS, {"a": "B", "b": "B"}),
        GeneVocab(TOKENS, MEDIANS),
        GeneVocab(TOKENS, MEDIANS, symbols, cls_token_id=9),
        GeneVocab(TOKENS, MEDIANS, symbols, pad_token_id=1, mask_token_id=0),
        GeneVocab(TOKENS, MEDIANS, symbols, eos_token_id=5, cls_token_id=4),
        GeneVocab({"A": 2, "C": 3}, {"A": 0.5, "C": 2.0}, {"a": "A"}),
    ]
    assert len({vocab.fingerprint, *(other.fingerprint for other in others)}) == len(others) + 1
    assert all(other != vocab for other in others) and vocab != "vocab"


def test_pickles_for_workers():
    vocab = GeneVocab(TOKENS, MEDIANS, {"a": "A"})
    copy = pickle.loads(pickle.dumps(vocab))
    assert copy == vocab and len(copy) == len(vocab)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (({"A": 2}, MEDIANS), "not so for 1 genes, e.g. \\['B'\\]"),
        (({"A": 1, "B": 2}, MEDIANS), "tokens of their own, from 0 on: see \\[1\\]"),
        (({"A": -1, "B": 2}, MEDIANS), "see \\[-1\\]"),
        ((TOKENS, {"A": 0.0, "B": 1.0}), "median of 'A' is 0.0, expected a positive"),
        ((TOKENS, {"A": float("nan"), "B": 1.0}), "median of 'A' is nan"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        GeneVocab(*arguments)


def test_cls_of_a_gene():
    with pytest.raises(ValueError, match="see \\[3\\]"):
        GeneVocab(TOKENS, MEDIANS, cls_token_id=3)


@pytest.mark.realdata
def test_the_vocabulary_of_geneformer_v1(real_vocab):
    vocab = GeneVocab.from_geneformer(real_vocab)
    assert (len(vocab.genes), len(vocab.symbols)) == (25424, 21245)
    assert (vocab.pad_token_id, vocab.mask_token_id, vocab.cls_token_id) == (0, 1, 25426)
    assert len(vocab) == 25427 and vocab.token_ids["ENSG00000000003"] == 2
    assert vocab.medians["ENSG00000000003"] == 2.001186019549122
    assert vocab.symbols["GAD1"] == "ENSG00000128683"


@pytest.mark.realdata
def test_medians_of_a_real_slice(real_slices):
    vocab = GeneVocab.from_slices([real_slices / "starmap_mpfc.h5ad"])
    assert len(vocab.genes) == 166 and len(vocab) == 169
    mapping = vocab.map(real_slices / "starmap_mpfc.h5ad")
    assert mapping.share_genes == mapping.share_counts == 1.0


def test_genes_among_tokens():
    vocab = GeneVocab({"A": 2, "B": 5, "C": 3}, dict.fromkeys("ABC", 1.0), eos_token_id=7)
    tokens = torch.tensor([vocab.cls_token_id, 5, 1, 2, 5, 0, 7], dtype=torch.int32)
    assert vocab.genes_among(tokens).tolist() == [2, 5]
    assert vocab.genes_among(tokens[:1]).tolist() == []


@pytest.mark.parametrize("tokens", [{"A": 2.5}, {"A": "2"}, {1: 2}])
def test_tokens_are_whole_numbers_of_named_genes(tokens):
    with pytest.raises(ValueError, match="A gene is text and its token a whole number"):
        GeneVocab(tokens, dict.fromkeys(tokens, 1.0))
