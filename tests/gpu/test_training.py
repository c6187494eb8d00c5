import copy

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState

from stofm_pyg.train import Trainer
from tests.gpu.processes import work
from tests.train.engine_case import NUM_STEPS, make_loader, make_pretraining

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("exact")]


@pytest.fixture
def accelerate_state():
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    PartialState._reset_state()


def run(accelerator, state=None, stop_at=None, dropout=0.2):
    """The scalars of the steps, and the state after the last one."""
    trainer = Trainer(
        make_pretraining(dropout), lr=0.01, accelerator=accelerator, seed=7,
        stop=lambda: trainer.step + 1 == stop_at,
    )  # fmt: skip
    if state is not None:
        trainer.load_state_dict(copy.deepcopy(state))
    history = trainer.fit(make_loader(accelerator, 0 if state is None else state["step"]), NUM_STEPS)
    return history, copy.deepcopy(trainer.state_dict())


def assert_same(ours, theirs, tolerance):
    (history, state), (others, other) = ours, theirs
    assert len(history) == len(others) > 0
    for scalars, expected in zip(history, others, strict=True):
        assert scalars == pytest.approx(expected, rel=tolerance, abs=tolerance)
    for name, weight in other["module"].items():
        assert (state["module"][name].cpu() - weight.cpu()).abs().max() <= tolerance, name


def test_resumed(device, accelerate_state, tmp_path):
    accelerator = Accelerator(cpu=device.type == "cpu")
    assert accelerator.device.type == device.type
    whole = run(accelerator)
    first, state = run(accelerator, stop_at=3)
    assert len(first) == state["step"] == 3
    torch.save(state, tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", map_location="cpu", weights_only=True)
    rest, end = run(accelerator, state)
    assert_same((first + rest, end), whole, 1e-6)


def test_steps_are_those_of_the_cpu(device, accelerate_state):
    # Without dropout, whose numbers a GPU draws otherwise.
    ours = run(Accelerator(cpu=device.type == "cpu"), dropout=0.0)
    assert_same(ours, run(None, dropout=0.0), 1e-4)


@pytest.mark.parametrize(
    ("backend", "number", "sharded"),
    [("gloo", 2, False), ("nccl", 1, False), ("nccl", 1, True)],
    ids=["two by gloo", "one by NCCL", "one by FSDP2"],
)
def test_processes(device, tmp_path, backend, number, sharded):
    backend = "gloo" if device.type == "cpu" else backend
    expected = run(None, dropout=0.0)
    options = (tmp_path, number, backend, device.type, sharded)
    torch.multiprocessing.spawn(work, options, number)
    for rank in range(number):
        history, weights = torch.load(tmp_path / f"out-{rank}.pt", weights_only=True)
        assert_same((history, {"module": weights}), expected, 1e-4)
