import pytest
from matplotlib.figure import Figure

from benchmarks.speed.plot_rows import plot_rows


def rows():
    out = []
    for case in ("forward", "forward+backward"):
        for cells in (1000, 250):
            for side, factor in (("dense", 1), ("official", 10)):
                row = {"case": case, "side": side, "cells": cells}
                row |= {"median_s": factor * cells / 1e3, "peak_mib": factor * cells / 10}
                out.append(row)
    out[-1] |= {"median_s": None, "peak_mib": None, "note": "out of memory"}
    return out


@pytest.fixture
def figures(monkeypatch):
    made = []
    save = Figure.savefig

    def keep(self, *args, **kwargs):
        made.append(self)
        save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    return made


def test_one_line_per_side(tmp_path, figures):
    plot_rows(rows(), tmp_path / "new" / "plot.png", "a machine")
    assert (tmp_path / "new" / "plot.png").read_bytes().startswith(b"\x89PNG")
    axes = figures[0].axes
    assert [ax.get_title() for ax in axes] == ["forward"] * 2 + ["forward+backward"] * 2
    assert all(ax.get_xscale() == ax.get_yscale() == "log" for ax in axes)
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes[0].lines}
    assert lines == {"dense": [[250, 0.25], [1000, 1.0]], "official": [[250, 2.5], [1000, 10.0]]}
    memory = {line.get_label(): line.get_xydata().tolist() for line in axes[3].lines}
    assert memory == {"dense": [[250, 25.0], [1000, 100.0]], "official": [[1000, 1000.0]]}


def test_nothing_measured(tmp_path):
    plot_rows([], tmp_path / "plot.png")
    left_out = [row | {"median_s": None, "peak_mib": None} for row in rows()]
    plot_rows(left_out, tmp_path / "plot.svg")
    assert b"<svg" in (tmp_path / "plot.svg").read_bytes()
