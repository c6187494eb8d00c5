import json

import numpy as np
import torch

from benchmarks.methods.scgpt import SampleGenes, ScGPT
from benchmarks.peers._value_bins import NUM_BINS
from benchmarks.peers.scgpt import embed_cells
from benchmarks.peers.slice_cells import read_slices
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

SIZES = {"channels": 8, "num_layers": 2, "heads": 2, "ffn_channels": 6}
LAYER = (
    "self_attn.Wqkv", "self_attn.out_proj", "linear1", "linear2", "norm1", "norm2",
)  # fmt: skip
MODULES = [
    "encoder.enc_norm", "value_encoder.linear1", "value_encoder.linear2", "value_encoder.norm",
    *(f"transformer_encoder.layers.{i}.{part}" for i in range(2) for part in LAYER),
    "decoder.fc.0", "decoder.fc.2", "decoder.fc.4", "mvc_decoder.gene2query",
]  # fmt: skip
PUBLISHED = {"encoder.embedding.weight", "mvc_decoder.W.weight"} | {
    f"{module}.{kind}" for module in MODULES for kind in ("weight", "bias")
}


def test_what_holds_for_each_peer():
    peer, out = check_peer(ScGPT, sizes=SIZES)
    np.testing.assert_allclose(np.linalg.norm(out[0], axis=1), 1, atol=1e-5)
    check_cells_are_alone(peer, PeerData())


def test_training_lowers_the_loss():
    check_learning(ScGPT, sizes=SIZES)


def published(folder):
    """A checkpoint as it is published, and the embeddings of the model that it came from."""
    peer = make_peer(ScGPT, SIZES)
    out = peer.embed(PeerData(), 0)
    state = {k.replace(".in_proj_", ".Wqkv."): v for k, v in peer.model.model.state_dict().items()}
    assert state.keys() == PUBLISHED
    special = {"<pad>": 0, "<eoc>": 1, "<cls>": 2}
    vocab = {**special, **{gene: 3 + i for i, gene in enumerate(GENES)}}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "args.json").write_text(json.dumps({"nheads": 2}))
    return state, out


def test_published_weights(tmp_path):
    state, out = published(tmp_path)
    torch.save({**state, "flag_encoder.weight": torch.zeros(2, 8)}, tmp_path / "best_model.pt")
    peer = make_peer(ScGPT, checkpoint=str(tmp_path))
    found = peer.embed(PeerData(), 5)  # No seed changes it.
    for x, y in zip(out, found, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)
    assert not peer.learns
    # The tokens of other genes do not matter.
    cell = torch.tensor([[2, 4]]), torch.tensor([[-2.0, 7.0]]), torch.zeros(1, 2, dtype=torch.bool)
    z = embed_cells(peer.model.model, *cell)
    cell[0][0, 1] = 5
    assert (embed_cells(peer.model.model, *cell) - z).abs().max() > 1e-4


def test_weights_that_do_not_fit(tmp_path):
    state, _ = published(tmp_path)
    path = tmp_path / "best_model.pt"
    check_wrong_weights(
        ScGPT, tmp_path, state, lambda s: torch.save(s, path), "mvc_decoder.W.weight"
    )


def test_tokens_are_genes_and_bins():
    data, peer = PeerData(), make_peer(ScGPT, SIZES)
    peer.embed(data, 0)
    part = read_slices(data)[0]
    first, counts = peer.tokens(part)[0], data.parts[0][0].toarray()[0]
    genes, bins = first // NUM_BINS - 3, first % NUM_BINS
    assert genes.tolist() == np.flatnonzero(counts).tolist()
    assert bins[counts[genes].argmax()] == 50 and bins.min() >= 1
    order = counts[genes].argsort(kind="stable")
    assert (np.diff(bins.numpy()[order]) >= 0).all()


def test_a_sample_of_genes_keeps_their_order():
    cells = CellTokens(torch.tensor([5, 3, 9, 7, 1, 2]), torch.tensor([0, 4, 6]))
    batch = TokenBatch.take(cells, torch.arange(2))
    out = SampleGenes(3)(batch, torch.Generator().manual_seed(0))
    assert out.lengths.tolist() == [2, 2] and out.tokens[2:].tolist() == [1, 2]
    places = [[5, 3, 9, 7].index(token) for token in out.tokens[:2].tolist()]
    assert places == sorted(places)
