"""Two small slices for methods that read counts and positions, and what holds for all peers."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import sparse
from torch_geometric.data import Data

from benchmarks.peers.slice_cells import read_slices

GENES = [f"GENE{i}" for i in range(12)]  # Of the slices, unless told otherwise.


class PeerData:
    """What a method needs of a :class:`BenchmarkData`: two kinds of cells, in two halves of a slice."""

    def __init__(self, sizes=(30, 20), num_genes=12, seed=0):
        rng = np.random.default_rng(seed)
        self.genes = [f"GENE{i}" for i in range(num_genes)]
        self.settings = SimpleNamespace(seed=0)
        self.slices, self.kinds, self.parts = [], [], []
        rates = np.repeat([[4.0, 0.5], [0.5, 4.0]], num_genes // 2, axis=1)
        for size in sizes:
            pos = torch.from_numpy(rng.random((size, 2)).astype(np.float32))
            kind = (pos[:, 0] > 0.5).long().numpy()
            self.slices.append(Data(pos=pos, node_type=torch.zeros(size)))
            self.kinds.append(kind)
            self.parts.append(sparse.csr_matrix(rng.poisson(rates[kind]).astype(np.float32)))

    def counts(self):
        return self.parts, self.genes

    def reordered(self, order):
        """The cells of the first slice in another order."""
        other = PeerData()
        other.slices = [Data(pos=self.slices[0].pos[order], node_type=torch.zeros(len(order)))]
        other.parts = [self.parts[0][order]]
        return other


def make_peer(kind, sizes=None, checkpoint=None, **values):
    """A peer of the smallest size."""
    out = kind("tiny", "cpu", checkpoint)
    out.values = {**out.values, "steps": 3, "max_tokens": 200, "max_cells": 15, **values}
    if sizes is not None:
        out.values["sizes"] = {**out.values["sizes"], **sizes}
    return out


def check_peer(kind, **values):
    """What holds for each of them; returns one that was trained, and what it gave."""
    data = PeerData()
    peer = make_peer(kind, **values)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = peer.embed(data, 0)
    assert torch.equal(torch.get_rng_state(), before)  # Nobody else's random numbers are touched.
    assert [len(x) for x in first] == [30, 20] and all(np.isfinite(x).all() for x in first)
    assert peer.learns and peer.seeded
    assert peer.info["parameters"] == sum(p.numel() for p in peer.model.parameters())
    again, other = make_peer(kind, **values).embed(data, 0), make_peer(kind, **values).embed(data, 1)
    for x, y, z in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(x, y)
        assert np.abs(x - z).max() > 1e-3
    # Slices that are left out change nothing of what is learned.
    unseen = make_peer(kind, **values)
    out = unseen.embed(data, 0, without=1)
    changed = PeerData()
    changed.parts[1] = changed.parts[1][::-1]
    changed.slices[1].pos = changed.slices[1].pos.flip(0)
    same = make_peer(kind, **values).embed(changed, 0, without=1)
    np.testing.assert_allclose(out[0], same[0], atol=1e-6)
    return peer, first


def check_cells_are_alone(peer, data):
    """The embedding of a cell is the same in any order of the cells."""
    order = np.random.default_rng(1).permutation(30)
    part = data.reordered(order)
    with torch.inference_mode():
        x, y = (
            peer.encode(peer.model, read_slices(which)[0], torch.device("cpu")).numpy()
            for which in (data, part)
        )
    np.testing.assert_allclose(x[order], y, atol=1e-5)


def check_learning(kind, loss="loss", share=0.95, **values):
    """Training lowers the loss to a share of what it was, or less."""
    peer = make_peer(kind, **{"steps": 24, "lr": 2e-2, **values})
    peer.embed(PeerData(), 0)
    losses = [step[loss] for step in peer.history]
    assert len(losses) == 24
    assert np.mean(losses[-6:]) < share * np.mean(losses[:6])


def check_wrong_weights(kind, folder, state, save, lost, more="more.weight"):
    """A missing and a left-over weight, and one of another size, are errors that name it."""

    def refused(changed, text):
        save(changed)
        with pytest.raises(ValueError, match=text):
            make_peer(kind, checkpoint=str(folder)).embed(PeerData(), 0)

    refused({name: x for name, x in state.items() if name != lost}, f"missing \\['{lost}'\\]")
    refused({**state, more: torch.zeros(2)}, f"left over \\['{more}'\\]")
    refused({**state, lost: torch.zeros(1, 1)}, lost)
    refused({"gaussian.means.weight": torch.zeros(1)}, "but those of SToFM; pass a checkpoint of")
