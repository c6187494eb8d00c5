"""From an AnnData, a file or slices to embeddings, by a model that knows how its slices are made."""

import json
import logging

import anndata
import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from torch_geometric.data import Batch

from stofm_pyg.data import GeneVocab, RankValueTokenizer, SliceSettings, slices_from_anndata
from stofm_pyg.models import ReadOut, SToFM, to_official_state
from stofm_pyg.nn import NodeType
from tests.cell_encoders import make_encoder
from tests.models.fit_case import SETTINGS, fitted, make_tissue


@pytest.fixture
def adata():
    return make_tissue()


@pytest.fixture(scope="module")
def z():
    """The embeddings of the cells."""
    return fitted().embed_anndata(make_tissue())


def content(adata):
    return {
        "X": adata.X.toarray(), "spatial": adata.obsm["spatial"].copy(), "obs": adata.obs.copy(),
        "var": adata.var.copy(), "uns": sorted(adata.uns), "obsm": sorted(adata.obsm),
        "layers": sorted(adata.layers), "obsp": sorted(adata.obsp),
    }  # fmt: skip


def assert_same(before, after):
    for key, value in before.items():
        if hasattr(value, "equals"):
            assert value.equals(after[key])
        else:
            np.testing.assert_array_equal(value, after[key])


def test_embed_fills_obsm_and_changes_nothing_else(adata, z):
    before = content(adata)
    assert fitted().embed(adata) is adata
    x = adata.obsm.pop("X_stofm")
    assert x.shape == (200, 16) and x.dtype == np.float32
    np.testing.assert_array_equal(x, z.numpy())
    assert_same(before, content(adata))
    fitted().embed(adata, key_added="mine")
    assert "X_stofm" not in adata.obsm
    np.testing.assert_array_equal(adata.obsm["mine"], z.numpy())


def test_a_tensor_where_nothing_can_be_written(adata, z, tmp_path):
    adata.write_h5ad(tmp_path / "a.h5ad")
    before = (tmp_path / "a.h5ad").read_bytes()
    for path in (tmp_path / "a.h5ad", str(tmp_path / "a.h5ad")):
        assert torch.equal(fitted().embed(path), z)
    assert (tmp_path / "a.h5ad").read_bytes() == before
    assert torch.equal(fitted().embed(adata, key_added=None), z)
    assert torch.equal(fitted().embed_anndata(adata), z) and "X_stofm" not in adata.obsm
    slices = fitted().slices(adata)
    parts = fitted().embed(slices)
    assert all(isinstance(part, torch.Tensor) for part in parts)
    for data, part in zip(slices, parts, strict=True):
        assert torch.equal(part, z[data.cell_id[data.node_type == NodeType.CELL]])
    one, other = fitted().embed([adata, tmp_path / "a.h5ad"])
    assert one is adata and torch.equal(other, z)


def test_views_and_backed_files(adata, z, tmp_path):
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = anndata.read_h5ad(tmp_path / "a.h5ad", backed="r")
    assert fitted().embed(backed) is backed
    np.testing.assert_array_equal(backed.obsm["X_stofm"], z.numpy())
    assert backed.isbacked
    with pytest.raises(ValueError, match="Cannot write to a view of the backed file .*to_memory"):
        fitted().embed(backed[:100])
    assert torch.equal(fitted().embed(backed[:100], key_added=None), z[:100])
    backed.file.close()
    assert "X_stofm" not in anndata.read_h5ad(tmp_path / "a.h5ad").obsm
    view = adata[adata.obs["slice"] == "slice1"]
    assert torch.equal(fitted().embed(view, key_added=None), z[100:])
    assert view.is_view


@pytest.mark.parametrize("readout", ["cell", "context"])
def test_how_it_is_computed_changes_nothing(adata, readout):
    model = fitted()
    z = model.embed_anndata(adata, readout=readout)
    size = 1e-5 * float(z.abs().max())
    for batch_size in (2, 3, 50):
        again = model.embed_anndata(adata, readout=readout, batch_size=batch_size)
        assert float((again - z).abs().max()) < size
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert float((model.embed_anndata(adata, readout=readout) - z).abs().max()) < size
    finally:
        torch.set_num_threads(threads)
    # Slices in another order, and each alone.
    turned = adata[np.r_[100:200, 0:100]].copy()
    turned.obs["slice"] = turned.obs["slice"].cat.reorder_categories(["slice1", "slice0"])
    again = model.embed_anndata(turned, readout=readout)
    assert float((again - z[np.r_[100:200, 0:100]]).abs().max()) < size
    alone = model.embed_anndata(adata[adata.obs["slice"] == "slice1"].copy(), readout=readout)
    assert float((alone - z[100:]).abs().max()) < size
    # Slices whose cells lie mixed.
    order = np.arange(200).reshape(2, 100).T.reshape(-1)
    mixed = model.embed_anndata(adata[order].copy(), readout=readout)
    assert float((mixed - z[order]).abs().max()) < size


def test_the_read_out_is_the_models_unless_told_otherwise(adata, z):
    model = fitted()
    last = model.embed_anndata(adata, layers="last")
    assert torch.equal(last, z[:, 8:])
    context = model.embed_anndata(adata, readout="context")
    assert context.shape == z.shape and (context - z).abs().max() > 1e-2
    assert not torch.equal(model.embed_anndata(adata, readout="context", seed=1), context)
    assert torch.equal(model.embed_anndata(adata, cells_per_part=40), z)
    assert not torch.equal(model.embed_anndata(adata, cells_per_part=20), z)
    with pytest.raises(ValueError, match=r"'cells_per_part' must be at least 1 \(got 0\)"):
        model.embed(adata, cells_per_part=0)
    x = fitted().slices(adata)[0].x[:100]
    more = ReadOut("all", part_shares=(1.0, 0.5), num_neighbors=3, own_features=True)
    out = model.embed_anndata(adata, read_out=more)
    assert out.shape == (200, 21) and torch.equal(out[:100, 16:], x)
    halves = [model.embed_anndata(adata, cells_per_part=size) for size in (40, 20)]
    mean = (halves[0] + halves[1])[:100] / 2
    near = cKDTree(adata.obsm["spatial"][:100]).query(adata.obsm["spatial"][:100], 4)[1]
    np.testing.assert_allclose(out[:100, :16], mean.numpy()[near].mean(axis=1), atol=1e-5)
    assert model.read_out.layers == "all"


def test_modes_of_all_parts_come_back(adata):
    model = fitted("tokens")
    try:
        model.train()
        model.cell_encoder.eval()
        modes = [part.training for part in model.modules()]
        z = model.embed_anndata(adata)
        assert [part.training for part in model.modules()] == modes
        assert len(set(modes)) == 2
        with pytest.raises(ValueError, match="Expected counts"):
            model.embed(make_log(adata))
        assert [part.training for part in model.modules()] == modes
    finally:
        model.eval()
    assert torch.equal(model.embed_anndata(adata), z)


def make_log(adata):
    adata = adata.copy()
    adata.X.data = np.log1p(adata.X.data)
    return adata


def test_where_to_compute(adata, z):
    model = fitted()
    assert torch.equal(model.embed_anndata(adata, device="cpu"), z)
    assert model.mask_token.device.type == "cpu"
    with pytest.raises(ValueError, match="'device' gpu cannot be used here .*; use 'cpu'"):
        model.embed(adata, device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="'device' cuda cannot be used here"):
            model.embed(adata, device="cuda")
    assert model.mask_token.device.type == "cpu" and torch.equal(model.embed_anndata(adata), z)


def test_new_slices_with_other_genes(adata, z, caplog):
    model = fitted()
    order = np.random.default_rng(0).permutation(40)
    moved = model.embed_anndata(adata[:, order].copy())
    assert float((moved - z).abs().max()) < 1e-5 * float(z.abs().max())
    with caplog.at_level(logging.WARNING):
        some = model.embed_anndata(adata[:, :30].copy())
    assert "30 of the model's 40 genes are in 'adata.var_names'" in caplog.text
    assert 0.01 < float((some - z).norm() / z.norm()) < 1
    with pytest.raises(ValueError, match="Only 12 of the model's 40 genes .* missing are, e.g., gene"):
        model.embed(adata[:, :12].copy())
    with pytest.raises(ValueError, match="Expected counts in 'adata.X', found .* fractional"):
        model.embed(make_log(adata))
    adata.layers["counts"] = adata.X.copy()
    adata.X.data = np.log1p(adata.X.data)
    assert torch.equal(model.embed_anndata(adata, layer="counts"), z)


def test_where_things_are_found(adata, z):
    model = fitted()
    adata.obsm["place"] = adata.obsm.pop("spatial")
    adata.obs["section"] = adata.obs.pop("slice")
    assert torch.equal(model.embed_anndata(adata, spatial_key="place", slice_key="section"), z)
    with pytest.raises(ValueError, match="'sections' is not in 'adata.obs'.*Did you mean 'section'"):
        model.embed(adata, spatial_key="place", slice_key="sections")
    with pytest.raises(TypeError, match="Unknown argument 'radius'; .* all else is the model's"):
        model.embed(adata, radius=5.0)


def test_cells_that_become_one_slice(adata, caplog):
    model = fitted()
    # Slices that lie on one another are refused.
    pos = adata.obsm["spatial"]
    pos[100:] += pos[:100].mean(axis=0) - pos[100:].mean(axis=0)
    with pytest.raises(ValueError) as error:
        model.embed(adata, slice_key=None)
    assert "'slice0' and 'slice1' lie on one another" in str(error.value)
    assert "Pass 'slice_key='slice''" in str(error.value)
    # Beside one another they may be one, with a word.
    far = adata.copy()
    far.obsm["spatial"][100:] += 2 * np.ptp(pos, axis=0)
    with caplog.at_level(logging.WARNING):
        one = model.embed_anndata(far, slice_key=None)
    assert "tells 2 slices apart, which become one here: 'slice_key='slice'' keeps them" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        apart = model.embed_anndata(far)
    assert caplog.text == "" and float((one - apart).abs().max()) > 1e-3


def test_slices_that_were_made_otherwise(adata):
    model = fitted()
    slices = model.slices(adata)
    assert len(slices) == 2 and slices[0].features == model.features.fingerprint()
    with pytest.raises(ValueError) as error:
        model.embed(slices_from_anndata(adata, SETTINGS.replace(radius=5.0, max_clusters=20)))
    assert str(error.value) == (
        "The slice was made in another way than those that the model was trained on: radius 5.0 instead "
        "of 2.5, max_clusters 20 instead of 8. Make it by 'model.slices(adata)', or pass the AnnData."
    )
    # Where slices and cells are found is no difference.
    data = slices[0].clone()
    data.settings = SETTINGS.replace(slice_key=None, layer="counts", cells_per_part=7).to_json()
    assert torch.equal(model.embed(data), model.embed(slices[0]))
    data.features = "of something else"
    with pytest.raises(ValueError, match="has other features than PCAFeatures"):
        model.embed(data)
    with pytest.raises(TypeError, match="got a Batch of them; pass 'batch.to_data_list"):
        model.embed(Batch.from_data_list(slices))
    with pytest.raises(TypeError, match="Expected an AnnData, the path of a file or .*, got int"):
        model.embed([5])


def test_features_that_are_not_finite(adata):
    data = fitted().slices(adata)[1]
    data.x[5, 0] = float("nan")
    data.x[17, 0] = float("inf")
    with pytest.raises(ValueError, match="2 of 1.. nodes have features that are not finite, the first "
                       "in row 5; leave them out, or mend their features"):  # fmt: skip
        fitted().embed(data)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_features_of_another_precision(adata, dtype):
    data = fitted().slices(adata)[0]
    z = fitted().embed(data)
    data.x, data.edge_attr = data.x.to(dtype), data.edge_attr.to(dtype)
    other = fitted().embed(data)
    assert other.dtype == torch.float32
    assert torch.allclose(other, z, atol=1e-6 if dtype == torch.float64 else 5e-2)


def test_no_cells(adata):
    for empty in (adata[:0], adata[:0].copy()):
        with pytest.raises(ValueError, match="has 0 cells"):
            fitted().embed(empty)
    assert fitted().embed([]) == []


def test_a_model_without_features(adata):
    model = SToFM(5, 8, 1, heads=2, num_gaussians=4)
    with pytest.raises(ValueError, match="no features of its own .* 'set_cell_encoder'"):
        model.embed(adata)
    with pytest.raises(ValueError, match="no features of its own"):
        model.slices(adata)


@pytest.fixture(scope="module")
def vocab():
    return GeneVocab.from_slices([make_tissue()])


@pytest.fixture(scope="module")
def encoder(vocab):
    return make_encoder(vocab_size=len(vocab), vocab_fingerprint=vocab.fingerprint)


def make_model(**kwargs):
    torch.manual_seed(0)
    return SToFM(6, 8, num_layers=1, heads=2, num_gaussians=4, **kwargs).eval()


def test_embeddings_of_tokens_and_virtual_cells_their_means(adata, vocab, encoder):
    model = make_model()
    model.set_cell_encoder(encoder, vocab)
    slices = model.slices(adata)
    x = encoder.encode(RankValueTokenizer(vocab, 16)(adata))
    assert len(slices) == 2 and slices[0].unit == "spacing"
    for data in slices:
        is_cell = data.node_type == NodeType.CELL
        assert torch.allclose(data.x[is_cell], x[data.cell_id[is_cell]], atol=1e-6)
        virtual = data.x[data.node_type == NodeType.VIRTUAL]
        for cluster, mean in enumerate(virtual):
            members = data.x[is_cell][data.cluster[is_cell] == cluster]
            assert torch.allclose(members.mean(dim=0), mean, atol=1e-6)
    model.settings = SliceSettings(unit="micron", microns_per_unit=2.0, radius=30.0)
    wider = model.slices(adata)[0]
    assert wider.unit == "micron"
    np.testing.assert_allclose(
        (wider.pos[1] - wider.pos[0]).numpy(),
        2 * (adata.obsm["spatial"][1] - adata.obsm["spatial"][0]), rtol=1e-3, atol=1e-3,
    )  # fmt: skip


def test_an_official_model_with_its_cell_encoder(adata, vocab, encoder, tmp_path):
    config = {
        "input_dim": 6, "embedding_dim": 8, "ffn_embedding_dim": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "gaussian_hidden_dim": 4,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save(to_official_state(make_model().encoder.state_dict(), 1), tmp_path / "weights.pth")
    encoder.save_pretrained(tmp_path / "encoder")
    official = SToFM.from_official(
        tmp_path / "config.json", tmp_path / "weights.pth", tmp_path / "encoder", vocab
    )
    slices = official.slices(adata)
    assert all(data.unit == "official" and data.num_edges == 0 for data in slices)
    z = official.embed_anndata(adata)
    assert torch.allclose(z, torch.cat(official.embed(slices)), atol=1e-6)
    official.save_pretrained(tmp_path / "ours")
    again = SToFM.from_pretrained(tmp_path / "ours")
    assert again.settings == official.settings and again.vocab == vocab
    assert torch.equal(again.embed_anndata(adata), z)
    ours = make_model()
    ours.set_cell_encoder(encoder, vocab)
    assert float((ours.embed_anndata(adata) - z).abs().max()) > 1e-3


def test_parts_that_do_not_fit(vocab, encoder):
    with pytest.raises(ValueError, match="makes 6 features a cell, the model takes 5"):
        SToFM(5, 16, num_layers=1, heads=2).set_cell_encoder(encoder, vocab)


def test_a_mask_of_the_wrong_shape(adata):
    data = fitted().slices(adata)[0]
    data.mask = torch.zeros(3, dtype=torch.bool)
    with pytest.raises(ValueError, match=rf"'mask' must have shape \[{data.num_nodes}\] \(got \[3\]\)"):
        fitted()(data)
