"""Two real processes train as one does."""

from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState

from stofm_pyg.train import Trainer
from stofm_pyg.train.engine.processes import Processes
from tests.train.engine_case import NUM_STEPS, Plain, make_loader, make_pretraining, train
from tests.train.two_processes import work


@pytest.fixture(scope="module")
def one():
    """One plain process: scalars, weights and the states after each step."""
    states = {}
    trainer, history = train(NUM_STEPS, states=states)
    return history, trainer.module.state_dict(), states


@pytest.fixture(scope="module")
def two(one, tmp_path_factory):
    """What two processes brought back, all in one start of them, which is what takes the time."""
    folder = tmp_path_factory.mktemp("two")
    torch.save(one[2][4], folder / "one.pt")
    torch.multiprocessing.spawn(work, (folder, 2), 2)
    return [torch.load(folder / f"out-{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.fixture
def accelerate_state():
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def assert_close(ours, theirs, tolerance=1e-5):
    (history, weights), (other_history, other_weights) = ours, theirs
    assert len(history) == len(other_history) > 0
    for scalars, others in zip(history, other_history, strict=True):
        assert scalars == pytest.approx(others, rel=tolerance, abs=tolerance)
    assert weights.keys() == other_weights.keys()
    for name, weight in weights.items():
        assert (weight - other_weights[name]).abs().max() <= tolerance, name


def test_two_processes_train_as_one(one, two):
    # Batches of five and a last one of one subpatch, dropout, batches without masked cells or pairs.
    assert_close(two[0]["whole"], one[:2])
    assert any(scalars["mcm"] == 0 for scalars in one[0]) and any(s["pdr"] == 0 for s in one[0])
    assert two[0]["whole"][0] == two[1]["whole"][0]
    for name, weight in two[0]["whole"][1].items():
        assert torch.equal(weight, two[1]["whole"][1][name])
    frozen = make_pretraining().state_dict()["model.frozen.weight"]
    assert torch.equal(two[0]["whole"][1]["model.frozen.weight"], frozen)


@pytest.mark.parametrize(("name", "settings"), [("joined", {"size": 2}), ("plain", {"module": None})])
def test_other_steps(two, name, settings):
    settings = {"module": Plain()} if name == "plain" else settings
    trainer, history = train(NUM_STEPS, **settings)
    assert_close(two[0][name], (history, trainer.module.state_dict()))


def test_dropout_is_not_the_same_everywhere(one):
    trainer = Trainer(make_pretraining(), lr=0.01, seed=8)
    assert trainer.fit(make_loader(), 1)[0]["loss"] != pytest.approx(one[0][0]["loss"], rel=1e-3)


@pytest.mark.parametrize("kind", ["", "sharded "])
def test_a_state_is_that_of_any_number_of_processes(one, two, kind):
    history, weights = two[0][kind.rstrip() or "whole"]
    rest = history[4:], weights
    resumed = two[0][kind + "resumed"]
    assert resumed[0] == rest[0]
    assert all(torch.equal(weight, weights[name]) for name, weight in resumed[1].items())
    assert_close(two[0][kind + "from one"], rest)
    state = two[0][kind + "state"]
    trainer, history = train(NUM_STEPS, state=state)
    assert_close((history, trainer.module.state_dict()), rest)
    expected = one[2][4]
    assert state["step"] == 4 and state["schedule"] == expected["schedule"]
    assert state["optimizer"]["param_groups"] == expected["optimizer"]["param_groups"]
    assert state["optimizer"]["state"].keys() == expected["optimizer"]["state"].keys()


def test_parameters_spread_over_processes(one, two):
    assert_close(two[0]["sharded"], one[:2])
    assert two[1]["sharded"][1] == {}  # The first alone has them.


@pytest.mark.parametrize("name", ["not finite", "sharded not finite"])
def test_a_loss_that_is_not_finite_stops_all(two, name):
    states = {}
    with pytest.raises(FloatingPointError) as error:
        train(NUM_STEPS, bad=8, states=states)
    for out in two:
        message, step, _ = out[name]
        assert message == str(error.value)
        assert step == max(states)
    assert f"The loss of step {step + 1} is nan; check the features of 'slice_8' for " in message
    weights = two[0][name][2]
    for key, weight in states[step]["module"].items():
        assert (weight - weights[key]).abs().max() <= 1e-5


def test_one_process_stops_all(two):
    assert [out["stop"] for out in two] == [(3, True)] * 2


def test_different_numbers_of_micro_batches(two):
    for rank, out in enumerate(two):
        assert f"(got {rank + 1} in process {rank} and 3 in all 2); add fillers" in out["unequal"]


def test_an_accelerator_of_one_process_changes_nothing(one, accelerate_state):
    trainer, history = train(NUM_STEPS, Accelerator(cpu=True))
    assert history == one[0]


def test_no_accelerator_leaves_no_state():
    train(1)
    assert PartialState._shared_state == {} and AcceleratorState._shared_state == {}


def test_bf16(one, accelerate_state):
    class Watching(Plain):
        def forward(self, batch):
            dtypes.add(torch.mm(batch.x, batch.x.t()).dtype)
            return super().forward(batch)

    dtypes = set()
    accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    train(1, accelerator, module=Watching())
    assert dtypes == {torch.bfloat16}
    trainer, history = train(NUM_STEPS, accelerator)
    assert all(p.dtype == torch.float32 for p in trainer.module.parameters())
    losses = [scalars["loss"] for scalars in history]
    assert losses != [scalars["loss"] for scalars in one[0]]
    assert losses == pytest.approx([scalars["loss"] for scalars in one[0]], rel=0.05)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"gradient_accumulation_steps": 2}, r"must be 1 \(got 2\); a step accumulates its"),
        ({"mixed_precision": "fp16"}, r"must be 'no' or 'bf16' \(got 'fp16'\)"),
        ({"distributed_type": SimpleNamespace(value="DEEPSPEED")}, "not run on DEEPSPEED; choose FSDP"),
    ],
)
def test_accelerators_that_do_not_fit(changed, message):
    fitting = {
        "gradient_accumulation_steps": 1,
        "mixed_precision": "no",
        "distributed_type": SimpleNamespace(value="NO"),
        "num_processes": 1,
        "process_index": 0,
    }
    assert Processes(SimpleNamespace(**fitting)).number == 1
    with pytest.raises(ValueError, match=message):
        Processes(SimpleNamespace(**fitting | changed))
