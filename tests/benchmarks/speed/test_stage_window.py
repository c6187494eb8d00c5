import pytest
import torch

from benchmarks.speed import stage_window, stopwatch
from benchmarks.speed.stage_window import STEP_PARTS, WAITING, WRAPPED, StageWindow
from benchmarks.speed.stopwatch import Stopwatch
from stofm_pyg.train.engine.loader import PlanLoader


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    for module in (stopwatch, stage_window):
        monkeypatch.setattr(module, "perf_counter", lambda: now[0])

    def passes(seconds):
        now[0] += seconds

    return passes


class Batches:
    """Loads for some seconds each time."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds = clock, seconds

    def __iter__(self):
        for value in self.seconds:
            self.clock(value)
            yield value


def test_the_steps_between_two_requests(clock):
    with Stopwatch() as watch:
        window = StageWindow(watch, warm_up=1, steps=2)
        steps = window._iterate(None, iter(Batches(clock, [100.0, 1.0, 3.0, 100.0])))
        for number, _ in enumerate(steps):
            with watch.timing("forward"):
                clock(10.0 if number in (1, 2) else 1000.0)
            clock(0.5)  # Of no part.
            with watch.timing("evaluation"):
                clock(7.0 if number == 1 else 0.0)
            assert window() is (number == 3)
    parts = window.parts
    assert tuple(parts) == STEP_PARTS
    assert parts[WAITING] == 2.0 and parts["forward"] == 10.0 and parts["rest"] == 0.5
    assert sum(parts.values()) == 12.5  # What comes once in a while is no part of a step.
    assert window.each("evaluation") == 7.0 / 4 and window.each("checkpoint") is None


def test_all_that_is_wrapped_is_put_back():
    before = [vars(owner).get(name) for owner, name, _ in WRAPPED]
    own_iter = "__iter__" in vars(PlanLoader)
    with Stopwatch() as watch:
        StageWindow(watch, 0, 1)
        assert all(
            vars(owner)[name] is not old
            for (owner, name, _), old in zip(WRAPPED, before, strict=True)
        )
    assert [vars(owner).get(name) for owner, name, _ in WRAPPED] == before
    assert ("__iter__" in vars(PlanLoader)) == own_iter


def test_moving_is_told_from_the_rest():
    from torch_geometric.data import Batch, Data

    with Stopwatch() as watch:
        StageWindow(watch, 0, 1)
        Batch.from_data_list([Data(x=torch.ones(2, 1))]).to("cpu")
    assert watch.calls["moving"] == 1
