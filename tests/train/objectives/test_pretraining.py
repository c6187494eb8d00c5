import pytest
import torch
from torch_geometric.data import Batch, Data

from stofm_pyg.models import SToFM, from_official_state
from stofm_pyg.train import (
    MaskedCellModelling,
    PairwiseDistanceRecovery,
    Pretraining,
    Trainer,
)
from stofm_pyg.transforms import MaskCells, PerturbPositions, SpatialRadiusGraph
from tests.golden_case import CASES, GoldenCase, largest_error, load_head, run_encoder


class Encoder(torch.nn.Module):
    """The official model sees features that are masked already, so no mask vector is put in."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, batch):
        return run_encoder(self.encoder, batch)


def official_pretraining(case):
    channels = case.config["embedding_dim"]
    mcm = MaskedCellModelling(channels, channels, "cosine")
    pdr = PairwiseDistanceRecovery(case.heads)
    objectives = {
        "mcm": load_head(mcm, case.part("state.lm_head.")),
        "pdr": load_head(pdr, case.part("state.pair_head.")),
    }
    return Pretraining(Encoder(case.encoder()), objectives)


def official_gradients(case):
    """By our names."""
    encoder = from_official_state(case.part("grad.model."), case.num_layers)
    out = {f"model.encoder.{name}": value for name, value in encoder.items()}
    for objective, head in (("mcm", "lm_head"), ("pdr", "pair_head")):
        for ours, theirs in enumerate((0, 2)):
            for kind in ("weight", "bias"):
                name = f"objectives.{objective}.head.lins.{ours}.{kind}"
                out[name] = case.tensors[f"grad.{head}.{theirs}.{kind}"]
    return out


@pytest.mark.parametrize("name", CASES)
def test_all_gradients_agree_with_the_official_code(name):
    case = GoldenCase(name)
    pretraining = official_pretraining(case)
    losses = pretraining(case.batch())
    mcm, pdr = case.tensors["out.mcm_cosine_loss"], case.tensors["out.pdr_mse_loss"]
    assert largest_error(losses["mcm"], mcm) <= 1e-5
    assert largest_error(losses["pdr"], pdr) <= 1e-5
    assert largest_error(losses["loss"], mcm + pdr) <= 1e-5

    losses["loss"].backward()
    gradients = {name: p.grad for name, p in pretraining.named_parameters()}
    expected = official_gradients(case)
    assert gradients.keys() == expected.keys()
    errors = {name: largest_error(grad, expected[name]) for name, grad in gradients.items()}
    assert {name: error for name, error in errors.items() if not error <= 1e-5} == {}


@pytest.mark.parametrize("name", CASES)
def test_gradients_in_double_follow_single_precision(name):
    case = GoldenCase(name)
    gradients = []
    for dtype in (torch.float32, torch.float64):
        pretraining = official_pretraining(case).to(dtype)
        loss = pretraining(case.batch(dtype))["loss"]
        gradients.append(torch.autograd.grad(loss, list(pretraining.parameters())))
    errors = [largest_error(ours, theirs) for ours, theirs in zip(*gradients, strict=True)]
    assert max(errors) <= 1e-5


class Constant(torch.nn.Module):
    """A loss of a given value, of which it notes what it was called with."""

    def __init__(self, value):
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(value))

    def forward(self, *args):
        self.args = args
        return self.value * 1.0


class CountingModel(torch.nn.Module):
    calls = 0

    def forward(self, batch):
        self.calls += 1
        return f"output of {batch}"


def test_losses_and_their_sum():
    model, objectives = CountingModel(), {"a": Constant(2.0), "b": Constant(3.0)}
    losses = Pretraining(model, objectives)("batch")
    assert {name: loss.item() for name, loss in losses.items()} == {"a": 2.0, "b": 3.0, "loss": 5.0}
    assert model.calls == 1
    for objective in objectives.values():
        assert objective.args == ("output of batch", "batch")


@pytest.mark.parametrize(
    ("weights", "expected"),
    [({"b": 0.1}, 2.3), ({"a": 0.0}, 3.0), ({"a": 2.0, "b": 3.0}, 13.0), ({}, 5.0)],
)
def test_weights(weights, expected):
    objectives = {"a": Constant(2.0), "b": Constant(3.0)}
    losses = Pretraining(CountingModel(), objectives, weights)("batch")
    assert losses["loss"].item() == pytest.approx(expected)
    assert losses["a"].item() == 2.0  # Each loss is given as it is.
    losses["loss"].backward()
    assert objectives["b"].value.grad.item() == pytest.approx(weights.get("b", 1.0))


def test_weights_of_unknown_objectives():
    with pytest.raises(ValueError) as error:
        Pretraining(CountingModel(), {"mcm": Constant(1.0)}, {"pdr": 1.0, "mgm": 2.0})
    assert str(error.value) == "Weights for unknown objectives ['mgm', 'pdr']; known: ['mcm']"


def make_batch(seed):
    generator = torch.Generator().manual_seed(seed)
    graph = SpatialRadiusGraph(1.5)
    parts = []
    for num_cells in (24, 17):
        pos = 5 * torch.rand(num_cells, 2, generator=generator)
        x = torch.cat([pos.sin(), pos.cos()], dim=1)
        data = MaskCells(0.2, seed=seed)(graph(Data(x=x, pos=pos)))
        parts.append(graph(PerturbPositions(0.2, sigma=0.5, seed=seed)(data)))
    return Batch.from_data_list(parts)


@pytest.mark.parametrize("conv", ["SE2TransformerConv", "GATConv"])
def test_both_objectives_train_the_model_on_batches_of_our_transforms(conv):
    torch.manual_seed(0)
    model = SToFM(4, 16, 2, conv, heads=2, num_gaussians=8, max_distance=3.0)
    objectives = {"mcm": MaskedCellModelling(16, 4), "pdr": PairwiseDistanceRecovery(2)}
    pretraining = Pretraining(model, objectives)
    before = {name: value.clone() for name, value in pretraining.state_dict().items()}
    history = Trainer(pretraining, lr=1e-2).fit([make_batch(0)] * 60, num_steps=60)
    for name in ("mcm", "pdr", "loss"):
        first, last = (sum(h[name] for h in part) / 5 for part in (history[:5], history[-5:]))
        assert last < 0.7 * first
    unchanged = [k for k, v in pretraining.state_dict().items() if torch.equal(v, before[k])]
    assert unchanged == []


def test_counts_and_shares():
    class Counted(Constant):
        def count(self, batch):
            return len(batch)

    objectives = {"a": Counted(2.0), "b": Constant(3.0)}
    pretraining = Pretraining(CountingModel(), objectives, {"b": 0.5})
    assert pretraining.counts("batch").tolist() == [5, 1]
    losses = pretraining("batch", torch.tensor([0.5, 0.1]))
    expected = {"a": 1.0, "b": 0.3, "loss": 1.15}
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(expected)


def test_subpatches_one_by_one_add_up_to_their_batch():
    torch.manual_seed(0)
    model = SToFM(4, 16, 1, heads=2, num_gaussians=8, max_distance=3.0)
    objectives = {"mcm": MaskedCellModelling(16, 4), "pdr": PairwiseDistanceRecovery(2)}
    pretraining = Pretraining(model, objectives)
    with torch.no_grad():
        pretraining.objectives["pdr"].head.lins[-1].weight.fill_(0.3)
    batch = make_batch(0)
    parts = [Batch.from_data_list([data]) for data in batch.to_data_list()]
    counts = torch.stack([pretraining.counts(part) for part in parts])
    assert torch.equal(counts.sum(dim=0), pretraining.counts(batch)) and (counts > 0).all()

    pretraining(batch)["loss"].backward()
    whole = [p.grad.clone() for p in pretraining.parameters()]
    pretraining.zero_grad()
    shares = counts / counts.sum(dim=0)
    losses = [pretraining(part, share) for part, share in zip(parts, shares, strict=True)]
    for name, expected in pretraining(batch).items():
        assert sum(loss[name] for loss in losses).item() == pytest.approx(expected.item(), rel=1e-5)
    sum(loss["loss"] for loss in losses).backward()
    for parameter, expected in zip(pretraining.parameters(), whole, strict=True):
        assert largest_error(parameter.grad, expected) <= 1e-5
