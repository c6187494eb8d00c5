import pytest

from benchmarks.speed import timing
from benchmarks.speed.timing import time_sides


class Clock:
    """Sides that take a known time on a clock of their own, and the order in which they ran."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        self.calls = []
        monkeypatch.setattr(timing, "perf_counter", lambda: self.now)

    def side(self, name, *seconds):
        times = list(seconds)

        def call():
            self.calls.append(name)
            self.now += times.pop(0) if len(times) > 1 else times[0]

        return call


def test_the_median_of_the_runs_after_the_warm_up(monkeypatch):
    clock = Clock(monkeypatch)
    out = time_sides({"a": clock.side("a", 100, 5, 1, 3)}, repeats=3)
    assert out == {"a": {"median_s": 3, "min_s": 1, "max_s": 5, "repeats": 3}}


def test_sides_take_turns(monkeypatch):
    clock = Clock(monkeypatch)
    time_sides({"a": clock.side("a", 1), "b": clock.side("b", 2)}, repeats=3, warmup=2)
    assert "".join(clock.calls) == "aabb" + "ab" + "ba" + "ab"


def test_a_slow_side_runs_less_often(monkeypatch):
    clock = Clock(monkeypatch)
    sides = {"a": clock.side("a", 1), "b": clock.side("b", 4), "c": clock.side("c", 6, 1)}
    out = time_sides(sides, repeats=5, seconds=10)
    assert [out[name]["repeats"] for name in "abc"] == [5, 2, 1]
    # The warm-up of the slowest is all there is of it.
    assert out["c"]["median_s"] == 6
    assert clock.calls.count("c") == 1


def test_no_sides():
    assert time_sides({}) == {}


def test_an_error_of_a_side_is_not_hidden():
    def fail():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        time_sides({"a": fail})
