import math

import torch

from benchmarks.peers.cellplm.embedder import CellEmbedder, Sinusoids2D


def test_positions_are_sinusoids_of_column_and_row():
    module = Sinusoids2D(8, grid=10)
    (out,) = module(torch.tensor([[0.5, 0.2]]))
    row, column = int((0.51 - 0.01) * 10), int((0.204 - 0.01) * 10)
    slow = 10_000 ** (-2 / 4)
    for angle, part in ((column, out[:4]), (row, out[4:])):
        want = [f(w * angle) for w in (1, slow) for f in (math.sin, math.cos)]
        torch.testing.assert_close(part, torch.tensor(want))
    # What lies on the edge, or beyond it, is in the last row.
    assert torch.equal(module(torch.ones(1, 2)), module(torch.full((1, 2), 7.0)))


def test_a_gene_counts_by_the_logarithm():
    torch.manual_seed(0)
    embedder = CellEmbedder(3, 8, 0.0, positions=False).eval()
    counts, pos = torch.tensor([[0.0, 5.0, 1.0]]), torch.rand(1, 2)
    emb = embedder.feat_enc.emb
    want = embedder.extra_linear(math.log(6) * emb[1:2] + math.log(2) * emb[2:3])
    torch.testing.assert_close(embedder(counts, pos), want)
    embedder.positions = True
    moved = embedder.extra_linear(math.log(6) * emb[1:2] + math.log(2) * emb[2:3] + embedder.pe_enc(pos))
    torch.testing.assert_close(embedder(counts, pos), moved)
