import pytest
import torch
from torch_geometric.data import Data

from stofm_pyg.corpus import CorpusDataset
from stofm_pyg.nn import NodeType
from stofm_pyg.train.pretraining.config import StageConfig
from stofm_pyg.train.pretraining.held_out_slices import HeldOutSlices, mean_neighbours
from stofm_pyg.transforms import MaskCells


class Guess(torch.nn.Module):
    """Predicts a constant for masked cells, and the true distance plus three."""

    def __init__(self, value):
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(float(value)))

    def forward(self, batch, predict=False):
        assert predict and not self.training
        return {
            "x": batch.x,
            **({"mcm": self.value.expand_as(batch.target)} if "target" in batch else {}),
            **({"pdr": batch.pair_distance + 3} if "pair_distance" in batch else {}),
        }


@pytest.fixture
def held_out(corpus, features):
    return HeldOutSlices(corpus.select(corpus.names[-1:]), features, StageConfig(sigma=2.0), draws=2)


def targets(corpus, features, draws):
    """The truth, worked out in another way: what is masked follows from subpatch and draw."""
    dataset = CorpusDataset(corpus.select(corpus.names[-1:]), features, transform=MaskCells(0.1))
    return torch.cat([dataset[i, d].target for i in range(len(dataset)) for d in range(draws)])


def test_errors(corpus, features, held_out):
    truth = targets(corpus, features, 2)
    module = Guess(0.5).train()
    errors = held_out.evaluate(module)
    assert errors["mcm_mse"] == pytest.approx(float((truth - 0.5).square().mean()), rel=1e-5)
    cosines = []
    for i, draw in [(i, draw) for i in range(len(held_out._masked)) for draw in range(2)]:
        data = held_out._masked[i, draw]
        mean = data.x[~data.mask].mean(dim=0)
        cosines.append(torch.nn.functional.cosine_similarity(data.target - mean, 0.5 - mean[None]))
    assert errors["mcm_cosine"] == pytest.approx(float(torch.cat(cosines).mean()), abs=1e-5)
    assert errors["pdr_rmse"] == pytest.approx(3.0, rel=1e-5)
    assert module.training and held_out.evaluate(module) == errors


def test_simple_guesses(corpus, features, held_out):
    truth = targets(corpus, features, 2)
    base = held_out.baselines()
    assert 0 < base["mean_neighbour_mse"] and 0 < base["mean_distance_rmse"] < 3
    # The mean of a slice is about zero in its own scale of one.
    assert base["mean_cell_mse"] == pytest.approx(float(truth.var(dim=0).mean()), rel=0.3)


def test_the_mean_of_neighbours():
    data = Data(
        x=torch.tensor([[1.0], [2.0], [4.0], [8.0]]),
        edge_index=torch.tensor([[0, 1, 2, 1, 3, 1, 2, 3], [1, 0, 1, 2, 1, 3, 3, 2]]),
        mask=torch.tensor([False, True, False, True]),
    )
    # Of cell 1 the neighbours 0 and 2, of cell 3 the neighbour 2: what is masked is not seen.
    assert mean_neighbours(data).tolist() == [[2.5], [4.0]]
    data.edge_index = torch.empty(2, 0, dtype=torch.long)
    assert mean_neighbours(data).tolist() == [[2.5], [2.5]]


def test_embeddings_come_with_their_positions(corpus, features, held_out):
    pos, x = held_out.embed(Guess(0.0))
    shard = corpus.shards[-1]
    assert torch.equal(pos, shard.pos.float())
    dataset = CorpusDataset(corpus, features)
    last = dataset[len(dataset) - 1]
    cells = last.node_type == NodeType.CELL
    assert torch.equal(x[shard.part_ptr[-2] :], last.x[cells])


def test_errors_of_rings(corpus, features):
    stage = StageConfig(objectives={"mcm": 1.0, "rings": 1.0}, mask_rate=0.3)
    last = corpus.select(corpus.names[-1:])
    held_out = HeldOutSlices(last, features, stage, draws=1)

    class OffByHalf(Guess):
        def forward(self, batch, predict=False):
            rings = batch.rings[batch.node_type == NodeType.CELL]
            return {"x": batch.x, "rings": rings + self.value}

    assert held_out.evaluate(OffByHalf(0.5))["rings_mse"] == pytest.approx(0.25, rel=1e-5)
    base = held_out.baselines()
    assert base["mean_cell_rings_mse"] == pytest.approx(1.0, rel=1e-5)
    # By hand: the least squares fit of the mean of the neighbours seen to each ring.
    truth = features.open_rings(last.shards[0])
    guess, dataset = [], CorpusDataset(last, features, False, False, transform=MaskCells(0.3))
    for i in range(len(dataset)):
        data = dataset[i, 0]
        for cell in range(data.num_nodes):
            near = data.edge_index[0, data.edge_index[1] == cell]
            near = near[~data.mask[near]]
            guess.append((data.x[near] if near.numel() else data.x[~data.mask]).mean(dim=0))
    guess, errors = torch.stack(guess).double(), []
    for ring in truth.double().unbind(dim=1):
        factor = torch.linalg.lstsq(guess.view(-1, 1), ring.reshape(-1, 1)).solution
        errors.append((ring - factor * guess).square().mean())
    want = float(torch.stack(errors).mean())
    assert base["mean_neighbour_rings_mse"] == pytest.approx(want, rel=1e-5) and want < 1
