"""A run that was killed goes on to the same curve, bit by bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from stofm_pyg.train import EXIT_TERMINATED, Checkpoints
from tests.train.resumable_run import read_curve, run

ROOT = Path(__file__).resolve().parents[2]
NUM_STEPS = 150


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The curve and the end of a run without a break."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(folder, NUM_STEPS) == 0
    curve = read_curve(folder)
    assert [step for step, _ in curve] == list(range(1, NUM_STEPS + 1))
    return curve, Checkpoints(folder / "checkpoints")


def start_and_signal(folder, number):
    """Signals all of a run at a random step; its exit code."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.train.resumable_run", str(folder), str(NUM_STEPS)],
        cwd=ROOT,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        step = random.randint(5, NUM_STEPS // 2)
        while len(read_curve(folder)) < step and child.poll() is None:
            time.sleep(0.002)
        os.killpg(child.pid, number)  # Workers of the loader among them.
        return child.wait(timeout=60)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def assert_goes_on_as_if_nothing_had_been(folder, whole):
    curve, checkpoints = whole
    assert 5 <= len(read_curve(folder)) < NUM_STEPS
    newest = Checkpoints(folder / "checkpoints").load_newest()["step"]
    assert run(folder, NUM_STEPS) == 0
    expected = dict(map(tuple, curve))
    both = read_curve(folder)
    # What was done twice is the same, too.
    assert all(scalars == expected[step] for step, scalars in both)
    assert {step for step, _ in both} == set(expected)
    assert [step for step, _ in both][-(NUM_STEPS - newest) :] == list(range(newest + 1, NUM_STEPS + 1))
    ours = Checkpoints(folder / "checkpoints")
    for load in (Checkpoints.load_newest, Checkpoints.load_best):
        state, other = load(ours), load(checkpoints)
        assert state["step"] == other["step"] and state["schedule"] == other["schedule"]
        assert state["score"] == other["score"]
        for name, weight in other["module"].items():
            assert torch.equal(state["module"][name], weight)
        for index, moments in other["optimizer"]["state"].items():
            for name, moment in moments.items():
                assert torch.equal(state["optimizer"]["state"][index][name], moment)


def test_killed(whole, tmp_path):
    assert start_and_signal(tmp_path, signal.SIGKILL) == -signal.SIGKILL
    assert_goes_on_as_if_nothing_had_been(tmp_path, whole)


def test_terminated(whole, tmp_path):
    assert start_and_signal(tmp_path, signal.SIGTERM) == EXIT_TERMINATED
    newest = Checkpoints(tmp_path / "checkpoints").load_newest()["step"]
    assert newest == read_curve(tmp_path)[-1][0]  # Nothing that was done is lost.
    assert_goes_on_as_if_nothing_had_been(tmp_path, whole)
