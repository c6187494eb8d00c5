import json

import numpy as np
import pytest
import torch

from stofm_pyg.data import GeneVocab, RankValueTokenizer
from stofm_pyg.datasets import generate_tissue
from stofm_pyg.models import CellEncoder, SToFM, slices_from_counts
from stofm_pyg.nn import NodeType


@pytest.fixture(scope="module")
def adata():
    return generate_tissue(num_slices=2, cells_per_slice=100, seed=0)


@pytest.fixture(scope="module")
def vocab(adata):
    return GeneVocab.from_slices([adata])


@pytest.fixture(scope="module")
def cell_encoder(vocab):
    torch.manual_seed(0)
    encoder = CellEncoder(
        len(vocab), 16, num_layers=1, heads=2, ffn_channels=16, max_length=64, out_channels=8,
        vocab_fingerprint=vocab.fingerprint,
    )  # fmt: skip
    return encoder.eval()


@pytest.fixture
def model():
    torch.manual_seed(0)
    return SToFM(8, 16, num_layers=1, heads=2, num_gaussians=4).eval()


def test_centred_in_each_slice(adata, vocab, cell_encoder):
    plain = slices_from_counts(adata, vocab, cell_encoder)
    centred = slices_from_counts(adata, vocab, cell_encoder, center=True)
    for data, other in zip(plain, centred, strict=True):
        cells = data.x[data.node_type == NodeType.CELL]
        expected = cells - cells.mean(dim=0)
        assert torch.allclose(other.x[other.node_type == NodeType.CELL], expected, atol=1e-6)


def test_a_model_that_wants_it_centres(adata, vocab, cell_encoder, tmp_path):
    torch.manual_seed(0)
    model = SToFM(8, 16, num_layers=1, heads=2, num_gaussians=4, center=True).eval()
    model.set_cell_encoder(cell_encoder, vocab)
    expected = model.embed(slices_from_counts(adata, vocab, cell_encoder, center=True))
    z = model.embed_anndata(adata, slice_key="slice")
    assert torch.allclose(z, torch.cat(expected), atol=1e-5)
    model.save_pretrained(tmp_path)
    assert SToFM.from_pretrained(tmp_path).center
    model.center = False
    assert not torch.allclose(model.embed_anndata(adata, slice_key="slice"), z, atol=1e-3)


def test_features_are_embeddings_and_virtual_cells_their_means(adata, vocab, cell_encoder):
    slices = slices_from_counts(adata, vocab, cell_encoder)
    x = cell_encoder.encode(RankValueTokenizer(vocab, 64)(adata))
    assert len(slices) == 2
    for data in slices:
        is_cell = data.node_type == NodeType.CELL
        assert torch.equal(data.x[is_cell], x[data.cell_id[is_cell]])
        virtual = data.x[data.node_type == NodeType.VIRTUAL]
        for cluster, mean in enumerate(virtual):
            members = data.x[is_cell][data.cluster[is_cell] == cluster]
            assert torch.allclose(members.mean(dim=0), mean, atol=1e-6)


def test_the_official_graph_wants_the_official_unit(adata, vocab, cell_encoder):
    slices = slices_from_counts(adata, vocab, cell_encoder, graph="official")
    assert all(data.unit == "official" and data.num_edges == 0 for data in slices)
    assert slices_from_counts(adata, vocab, cell_encoder)[0].unit == "spacing"
    wider = slices_from_counts(adata, vocab, cell_encoder, radius=12.0)
    assert wider[0].num_edges > slices_from_counts(adata, vocab, cell_encoder)[0].num_edges


def test_embeds_an_anndata_in_its_order(adata, vocab, cell_encoder, model):
    model.set_cell_encoder(cell_encoder, vocab)
    before = adata.X.copy()
    z = model.embed_anndata(adata, slice_key="slice")
    assert z.shape == (adata.n_obs, 16) and (adata.X != before).nnz == 0
    slices = slices_from_counts(adata, vocab, cell_encoder)
    for data, part in zip(slices, model.embed(slices), strict=True):
        assert torch.equal(z[data.cell_id[data.node_type == NodeType.CELL]], part)

    order = np.random.default_rng(0).permutation(adata.n_obs)
    shuffled = model.embed_anndata(adata[order].copy(), slice_key="slice")
    assert (shuffled - z[order]).abs().max() < 1e-4 * z.abs().max()


def test_a_saved_model_takes_counts_too(adata, vocab, cell_encoder, model, tmp_path):
    model.set_cell_encoder(cell_encoder, vocab)
    model.save_pretrained(tmp_path)
    again = SToFM.from_pretrained(tmp_path).eval()
    assert again.vocab == vocab
    z = model.embed_anndata(adata, slice_key="slice")
    assert torch.allclose(again.embed_anndata(adata, slice_key="slice"), z, atol=1e-6)


def test_an_official_model_with_its_cell_encoder(adata, vocab, cell_encoder, model, tmp_path):
    from stofm_pyg.models import to_official_state

    config = {
        "input_dim": 8, "embedding_dim": 16, "ffn_embedding_dim": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "gaussian_hidden_dim": 4,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save(to_official_state(model.encoder.state_dict(), 1), tmp_path / "se2transformer.pth")
    cell_encoder.save_pretrained(tmp_path / "encoder")
    official = SToFM.from_official(
        tmp_path / "config.json", tmp_path / "se2transformer.pth", tmp_path / "encoder", vocab
    )
    z = official.embed_anndata(adata, slice_key="slice")
    slices = slices_from_counts(adata, vocab, cell_encoder, graph="official")
    assert torch.allclose(z[:100], official.embed(slices[0]), atol=1e-6)
    assert (z[:100] - model.embed(slices_from_counts(adata, vocab, cell_encoder)[0])).abs().max() > 1e-3


def test_without_a_cell_encoder(adata, model):
    with pytest.raises(ValueError, match="no cell encoder with a vocabulary.*'set_cell_encoder'"):
        model.embed_anndata(adata)


def test_parts_that_do_not_fit(adata, vocab, cell_encoder):
    with pytest.raises(ValueError, match="makes 8 features a cell, the model takes 5"):
        SToFM(5, 16, num_layers=1, heads=2).set_cell_encoder(cell_encoder, vocab)
    other = GeneVocab.from_slices([adata[:, :10].copy()])
    with pytest.raises(ValueError, match="do not fit"):
        slices_from_counts(adata, other, cell_encoder)


def test_a_mask_of_the_wrong_shape(adata, vocab, cell_encoder, model):
    data = slices_from_counts(adata, vocab, cell_encoder)[0]
    data.mask = torch.zeros(3, dtype=torch.bool)
    with pytest.raises(ValueError, match=f"'mask' must hold one value for each of the {data.num_nodes}"):
        model(data)
