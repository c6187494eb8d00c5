import json
from functools import partial

import numpy as np
import pytest
import torch

from benchmarks.methods.cellplm import CellPLM, unit_square
from tests.benchmarks.peer_case import (
    GENES,
    PeerData,
    check_cells_are_alone,
    check_learning,
    check_peer,
    check_wrong_weights,
    make_peer,
)

SIZES = {
    "channels": 8, "num_layers": 2, "heads": 2, "latent_channels": 4, "latent_hidden": 6,
    "num_clusters": 3, "decoder_channels": 12,
}  # fmt: skip
LAYER = (
    *(f"self_attn.{part}_projection" for part in ("query", "key", "value", "out")),
    "_ff_block.0", "_ff_block.3", "norm1", "norm2",
)  # fmt: skip
INFERENCE = ("inference_qyx.0.logits", "inference_qzyx.0", "inference_qzyx.2.mu", "inference_qzyx.2.var",
             "y_mu", "y_var")  # fmt: skip
MODULES = [
    "embedder.extra_linear.0", "embedder.extra_linear.3", "pre_latent_norm.norm",
    *(f"encoder.layers.{i}.{part}" for i in range(2) for part in LAYER),
    *(f"latent.layers.1.inference.{part}" for part in INFERENCE),
    "decoder.layers.0.0", "decoder.layers.0.3", "decoder.covariate_layers.0.batch.2",
    "decoder.out_layer.dec_1", "decoder.out_layer.dec_mean.0",
]  # fmt: skip
PUBLISHED = {f"{module}.{kind}" for module in MODULES for kind in ("weight", "bias")} | {
    "embedder.feat_enc.emb", "embedder.pe_enc.missing_pe", "embedder.pe_enc.pe_enc.weight",
    "decoder.layers.0.1.weight", "decoder.covariate_layers.0.batch.0.weight",
    "decoder.covariate_layers.0.batch.1.weight", "decoder.out_layer.dec_disp",
}  # fmt: skip


def with_positions(*args):
    return CellPLM(*args, positions=True)


@pytest.mark.parametrize("kind", [CellPLM, with_positions])
def test_what_holds_for_each_peer(kind):
    peer, out = check_peer(kind, sizes=SIZES)
    assert out[0].shape == (30, 4)
    check_cells_are_alone(peer, PeerData())


def test_training_lowers_the_loss():
    check_learning(CellPLM, loss="counts", sizes=SIZES)


def test_cells_see_each_other_and_positions_only_where_asked_for():
    data, moved = PeerData(), PeerData()
    moved.slices[0].pos = moved.slices[0].pos.flip(0)
    for kind, seen in ((CellPLM, False), (with_positions, True)):
        x, y = (make_peer(kind, SIZES).embed(part, 0)[0] for part in (data, moved))
        assert (np.abs(x - y).max() > 1e-4) == seen
    peer = make_peer(CellPLM, SIZES)
    first = peer.embed(data, 0)[0]
    counts = torch.from_numpy(data.parts[0].toarray())
    alone = peer.model(counts[:10], data.slices[0].pos[:10]).detach().numpy()
    assert np.abs(alone - first[:10]).max() > 1e-6


def published(folder):
    """A checkpoint as it is published, and the embeddings of the model that it came from."""
    peer = make_peer(CellPLM, SIZES)
    out = peer.embed(PeerData(), 0)
    state = peer.model.state_dict()
    assert state.keys() == PUBLISHED
    (folder / "85M.config.json").write_text(json.dumps({"gene_list": GENES, "enc_head": 2}))
    return state, out


def test_published_weights(tmp_path):
    state, out = published(tmp_path)
    norm = {"embedder.norm0.weight": torch.ones(8), "embedder.norm0.bias": torch.zeros(8)}
    torch.save({"model_state_dict": {**state, **norm}, "epoch": 1}, tmp_path / "85M.best.ckpt")
    found = make_peer(CellPLM, checkpoint=str(tmp_path)).embed(PeerData(), 5)
    for x, y in zip(out, found, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)
    positions = make_peer(with_positions, checkpoint=str(tmp_path)).embed(PeerData(), 0)
    assert np.abs(positions[0] - out[0]).max() > 1e-4
    (tmp_path / "85M.config.json").write_text(json.dumps({"gene_list": GENES[:5]}))
    with pytest.raises(ValueError, match="names 5 genes, and .* has weights of 12"):
        make_peer(CellPLM, checkpoint=str(tmp_path)).embed(PeerData(), 0)


def test_weights_that_do_not_fit(tmp_path):
    state, _ = published(tmp_path)
    path = tmp_path / "85M.best.ckpt"

    def save(changed):
        torch.save({"model_state_dict": changed}, path)

    lost = "latent.layers.1.inference.y_var.weight"
    check_wrong_weights(partial(CellPLM), tmp_path, state, save, lost)


def test_a_slice_in_a_unit_square():
    out = unit_square(torch.tensor([[2.0, 5.0], [4.0, 5.0], [3.0, 5.0]]))
    assert out.tolist() == [[0, 0], [1, 0], [0.5, 0]]
