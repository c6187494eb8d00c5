import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

from benchmarks.methods.nicheformer import Nicheformer
from benchmarks.peers.nicheformer import NicheformerModel, RankedGenes
from stofm_pyg.data import CellTokens
from stofm_pyg.loader import TokenBatch
from tests.benchmarks.peer_case import (
    GENES,
    PeerData,
    check_cells_are_alone,
    check_learning,
    check_peer,
    check_wrong_weights,
    make_peer,
)

SIZES = {"channels": 8, "num_layers": 2, "heads": 2, "ffn_channels": 6, "context_length": 16}
LAYER = ("self_attn.out_proj", "linear1", "linear2", "norm1", "norm2")
PUBLISHED = {"embeddings.weight", "positional_embedding.weight"} | {
    *(f"encoder.layers.{i}.self_attn.in_proj_{kind}" for i in range(2) for kind in ("weight", "bias")),
    *(
        f"encoder.layers.{i}.{part}.{kind}"
        for i in range(2)
        for part in LAYER
        for kind in ("weight", "bias")
    ),
    "classifier_head.weight",
    "classifier_head.bias",
}


def test_what_holds_for_each_peer():
    peer, _ = check_peer(Nicheformer, sizes=SIZES)
    check_cells_are_alone(peer, PeerData())


def test_training_lowers_the_loss():
    check_learning(Nicheformer, sizes=SIZES)


def published(folder):
    """A checkpoint as it is published, and the embeddings of the model that it came from."""
    peer = make_peer(Nicheformer, SIZES)
    out = peer.embed(PeerData(), 0)
    state = peer.model.model.state_dict()
    assert state.keys() == PUBLISHED
    AnnData(var=pd.DataFrame(index=GENES)).write_h5ad(folder / "model.h5ad")
    return state, out


def save(state, path):
    torch.save({"state_dict": state, "hyper_parameters": {"nheads": 2}, "epoch": 3}, path)


def test_published_weights(tmp_path):
    state, out = published(tmp_path)
    more = {f"encoder_layer.{name}.weight": torch.zeros(1) for name in LAYER}
    more |= {"pooler_head.weight": torch.zeros(8, 8), "cls_head.bias": torch.zeros(164)}
    save({**state, **more}, tmp_path / "nicheformer.ckpt")
    peer = make_peer(Nicheformer, checkpoint=str(tmp_path))
    for x, y in zip(out, peer.embed(PeerData(), 5), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)
    # Means of the technology change the order of the genes.
    np.save(tmp_path / "merfish_mean_script.npy", np.geomspace(1, 1e6, 12))
    ranked = make_peer(Nicheformer, checkpoint=str(tmp_path))
    assert np.abs(ranked.embed(PeerData(), 0)[0] - out[0]).max() > 1e-3
    assert list(ranked.vocab.medians.values()) == pytest.approx(np.geomspace(1, 1e6, 12))
    np.save(tmp_path / "merfish_mean_script.npy", np.ones(3))
    with pytest.raises(ValueError, match="3 means for 12 genes"):
        make_peer(Nicheformer, checkpoint=str(tmp_path)).embed(PeerData(), 0)


def test_weights_that_do_not_fit(tmp_path):
    state, _ = published(tmp_path)
    path = tmp_path / "nicheformer.ckpt"
    lost = "encoder.layers.1.norm2.bias"
    check_wrong_weights(Nicheformer, tmp_path, state, lambda s: save(s, path), lost)


def make_task():
    torch.manual_seed(0)
    model = NicheformerModel(40, **SIZES).eval()
    return RankedGenes(model, "mouse", "xenium")


def test_the_mean_leaves_out_context_and_padding():
    task = make_task()
    cells = CellTokens(torch.tensor([31, 35, 30, 33]), torch.tensor([0, 3, 4, 4]))
    out = task.embed(TokenBatch.take(cells, torch.arange(3)))
    with torch.no_grad():
        tokens = torch.tensor([[6, 9, 4, 31, 35, 30]])
        states = task.model(tokens, torch.zeros(1, 6, dtype=torch.bool))
        alone = task.model(torch.tensor([[6, 9, 4, 33]]), torch.zeros(1, 4, dtype=torch.bool))
    torch.testing.assert_close(out[0], states[0, 3:].mean(dim=0), atol=1e-5, rtol=0)
    torch.testing.assert_close(out[1], alone[0, 3], atol=1e-5, rtol=0)
    assert torch.equal(out[2], torch.zeros(8))


def test_an_unknown_context():
    with pytest.raises(ValueError, match="no token for 'visium'; known: merfish, cosmx, xenium"):
        RankedGenes(make_task().model, "human", "visium")
