"""What goes wrong with counts on their way to an embedding, and what the user is told."""

import logging
import re

import numpy as np
import pytest
import torch

from stofm_pyg.data import GeneVocab, RankValueTokenizer
from stofm_pyg.datasets import generate_tissue
from stofm_pyg.models import CellEncoder, SToFM
from stofm_pyg.models.features import TokenFeatures
from stofm_pyg.nn import NodeType


@pytest.fixture
def adata():
    return generate_tissue(num_slices=1, cells_per_slice=100, num_genes=30, seed=0)


@pytest.fixture(scope="module")
def vocab():
    tissue = generate_tissue(num_slices=1, cells_per_slice=100, num_genes=30, seed=0)
    return GeneVocab.from_slices([tissue])


def make_encoder(vocab):
    torch.manual_seed(0)
    encoder = CellEncoder(
        len(vocab), 16, num_layers=1, heads=2, ffn_channels=16, max_length=64, out_channels=8,
        vocab_fingerprint=vocab.fingerprint,
    )  # fmt: skip
    return encoder.eval()


@pytest.fixture
def model(vocab):
    torch.manual_seed(0)
    model = SToFM(8, 16, num_layers=1, heads=2, num_gaussians=4).eval()
    model.set_cell_encoder(make_encoder(vocab), vocab)
    return model


def test_no_gene_matches(adata, model):
    adata.var_names = [f"probe{i}" for i in range(30)]
    with pytest.raises(ValueError) as error:
        model.embed_anndata(adata)
    message = str(error.value)
    assert "0 of 30 genes (0.0 %) with 0.0 % of the counts are in the vocabulary" in message
    assert "'probe0', 'probe1'" in message and "the vocabulary knows 'gene0" in message


@pytest.mark.parametrize(
    ("normalise", "kind"),
    [(np.log1p, "fractional"), (lambda counts: counts - 5, "negative")],
    ids=["logarithms", "centred"],
)
def test_normalised_instead_of_raw_counts(adata, model, normalise, kind):
    want = model.embed_anndata(adata)
    adata.layers["counts"] = adata.X.copy()
    adata.X.data = normalise(adata.X.data)
    for call in (
        lambda: model.embed_anndata(adata),
        lambda: model.slices(adata),
    ):
        with pytest.raises(ValueError) as error:
            call()
        message = str(error.value)
        # How it was seen: how many, and one of them with its cell and gene.
        assert re.search(rf"Expected counts in 'adata.X', found [\d,]+ {kind} values of", message)
        assert re.search(r": -?\d+(\.\d+)? in cell 'slice0_cell\d+' .* gene 'gene\d+'", message)
        assert "Pass 'layer=' with the layer that holds raw counts" in message
    assert torch.equal(model.embed_anndata(adata, layer="counts"), want)  # The mend mends it.


def test_cells_without_a_gene_of_the_vocabulary_are_kept_as_cls_alone(adata, vocab, model, caplog):
    empty = [3, 50, 99]
    counts = adata.X.tolil()
    counts[empty] = 0
    adata.X = counts.tocsr()
    encoder = model.cell_encoder
    tokens, report = RankValueTokenizer(vocab)(adata, return_report=True)
    assert report.num_without_genes == 3 and "3 cells have none of these genes" in str(report)
    with caplog.at_level(logging.WARNING, logger="stofm_pyg"):
        (data,) = model.slices(adata)
    assert "3 of 100 cells have no count of a gene in the vocabulary" in caplog.text
    x = data.x[data.node_type == NodeType.CELL]
    assert x.size(0) == 100 and data.cell_id[:100].tolist() == list(range(100))
    (cls,) = encoder.encode(tokens[[3]].truncate(1))
    assert tokens[3].tolist() == [vocab.cls_token_id]
    for cell in range(100):
        alone = torch.allclose(x[cell], cls, atol=1e-6)
        assert alone == (cell in empty)


def test_a_vocabulary_and_an_encoder_that_do_not_fit(vocab):
    longer = {f"gene{i:03d}": 2 + i for i in range(90)}
    same_size = {f"other{i:03d}": 2 + i for i in range(len(vocab.genes))}
    encoder = make_encoder(vocab)
    for genes in (longer, same_size):
        other = GeneVocab(genes, dict.fromkeys(genes, 1.0))
        with pytest.raises(ValueError) as error:
            TokenFeatures(encoder, other)
        message = str(error.value)
        assert f"The vocabulary {other} ({other.fingerprint[:12]}) and the encoder" in message
        assert f"({vocab.fingerprint[:12]}) do not fit" in message
        assert "take the vocabulary that the encoder was trained with" in message


def test_a_damaged_cache_of_embeddings_is_made_again(adata, model, tmp_path, caplog):
    (want,) = model.slices(adata, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    for left in (content[: len(content) // 2], content[:-24] + bytes(24), b""):
        path.write_bytes(left)
        caplog.clear()
        (data,) = model.slices(adata, cache=tmp_path)
        assert torch.equal(data.x, want.x)
        assert str(path) in caplog.text and "made again" in caplog.text
        caplog.clear()
        model.slices(adata, cache=tmp_path)
        assert caplog.text == "" and path.stat().st_size == len(content)
