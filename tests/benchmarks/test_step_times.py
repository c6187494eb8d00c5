import pytest

from benchmarks import step_times
from benchmarks.step_times import StepTimes


def timed(monkeypatch, wall, process):
    """What is said of steps that are done at some times, by the clock and of this process alone."""
    clocks = {"perf_counter": iter(wall), "process_time": iter(process)}
    for name, times in clocks.items():
        monkeypatch.setattr(step_times.time, name, lambda times=times: next(times))
    times = StepTimes()
    assert [times() for _ in wall] == [False] * len(wall)  # It never stops a training.
    return times.info()


def test_the_first_step_counts_as_the_mean_of_the_others(monkeypatch):
    found = timed(monkeypatch, [10.0, 11.0, 12.0, 16.0], [5.0, 6.0, 7.0, 11.0])
    assert found == {"steps": 4, "train_seconds": pytest.approx(8.0), "ms_per_step": 1000.0}


def test_other_processes_have_no_part(monkeypatch):
    busy = timed(monkeypatch, [0.0, 2.0, 9.0], [0.0, 1.0, 2.0])
    assert busy["train_seconds"] == pytest.approx(3.0) and busy["ms_per_step"] == 1000.0
    threads = timed(monkeypatch, [0.0, 1.0, 2.0], [0.0, 4.0, 8.0])
    assert threads["train_seconds"] == pytest.approx(3.0)


def test_what_one_step_cannot_tell():
    times = StepTimes()
    assert times.info() == {"steps": 0}
    times()
    assert times.info() == {"steps": 1}
