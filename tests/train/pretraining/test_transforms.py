import pytest
import torch

from stofm_pyg.corpus import CorpusDataset
from stofm_pyg.nn import NodeType
from stofm_pyg.train.pretraining.config import StageConfig
from stofm_pyg.train.pretraining.transforms import held_out_transform, training_transform

STAGE = StageConfig(drop_rate=0.3, jitter=0.5, sigma=2.0)


def read(corpus, features, transform, draw=0):
    return CorpusDataset(corpus, features, tokens=True, transform=transform)[0, draw]


def test_what_training_sees(corpus, features):
    plain = read(corpus, features, None)
    data = read(corpus, features, training_transform(corpus.settings, STAGE))
    cells, before = data.node_type == NodeType.CELL, plain.node_type == NodeType.CELL
    assert 0 < int(cells.sum()) < int(before.sum()) and data.lengths.numel() == int(cells.sum())
    assert int(data.mask.sum()) == max(1, round(0.1 * int(cells.sum())))
    # The truth is free of noise, what is seen is not.
    known = {tuple(row) for row in plain.x.tolist()}
    assert all(tuple(row) in known for row in data.target.tolist())
    assert not any(tuple(row) in known for row in data.x.tolist())
    # The graph is that of the positions as they are now.
    source, target = data.edge_index[:, cells[data.edge_index].all(dim=0)]
    distance = (data.pos[source] - data.pos[target]).norm(dim=1)
    assert float(distance.max()) <= corpus.settings.radius * (1 + 1e-5)
    assert data.pair_index.size(1) == data.pair_distance.numel() > 0


def test_draws_differ_and_come_again(corpus, features):
    transform = training_transform(corpus.settings, STAGE)
    first, again, other = (read(corpus, features, transform, draw) for draw in (0, 0, 1))
    assert torch.equal(first.pos, again.pos) and torch.equal(first.x, again.x)
    assert first.num_nodes != other.num_nodes or not torch.equal(first.pos, other.pos)


def test_no_noise_where_the_encoder_makes_the_features(corpus, features):
    plain = read(corpus, features, None)
    data = read(corpus, features, training_transform(corpus.settings, STAGE, trains_cells=True))
    known = {tuple(row) for row in plain.x.tolist()}
    assert all(tuple(row) in known for row in data.x.tolist())


def test_what_is_held_out_stays_whole(corpus, features):
    plain = read(corpus, features, None)
    data = read(corpus, features, held_out_transform(corpus.settings, STAGE))
    assert torch.equal(data.x, plain.x)
    moved = (data.pos != plain.pos).any(dim=1)
    cells = int((plain.node_type == NodeType.CELL).sum())
    assert int(moved.sum()) == max(1, round(0.1 * cells))
    ends = moved[data.pair_index].any(dim=0)
    assert bool(ends.all())
    true = (plain.pos[data.pair_index[0]] - plain.pos[data.pair_index[1]]).norm(dim=1)
    assert data.pair_distance.tolist() == pytest.approx(true.tolist(), abs=1e-4)
