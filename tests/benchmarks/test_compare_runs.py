import pytest
import torch
from safetensors.torch import save_file
from tensorboard.backend.event_processing import event_accumulator

from benchmarks.compare_runs import (
    curve_differences,
    file_differences,
    left_over,
    read_curves,
    weights,
)
from tests.benchmarks.curve_files import write_curve


def test_curves_without_what_was_written_twice(tmp_path):
    write_curve(tmp_path / "tensorboard" / "stage_1", [1.0, 0.5, 0.25, 9.0])
    write_curve(tmp_path / "tensorboard" / "stage_1", [0.75, 0.125], start=2)
    write_curve(tmp_path / "tensorboard" / "stage_2", [3.0])
    assert read_curves(tmp_path) == {
        "stage_1/train/loss": [(1, 1.0), (2, 0.5), (3, 0.75), (4, 0.125)],
        "stage_2/train/loss": [(1, 3.0)],
    }


def test_a_record_that_was_cut_off(tmp_path):
    write_curve(tmp_path / "tensorboard" / "stage_1", [1.0, 0.5, 9.0])
    (path,) = (tmp_path / "tensorboard" / "stage_1").iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    write_curve(tmp_path / "tensorboard" / "stage_1", [0.25], start=2)
    assert read_curves(tmp_path) == {"stage_1/train/loss": [(1, 1.0), (2, 0.5), (3, 0.25)]}


def test_more_points_than_tensorboard_keeps(tmp_path, monkeypatch):
    monkeypatch.setitem(event_accumulator.DEFAULT_SIZE_GUIDANCE, "scalars", 3)
    write_curve(tmp_path / "tensorboard" / "stage_1", [0.5, 1.0, 2.0, 4.0, 8.0])
    (points,) = read_curves(tmp_path).values()
    assert points == [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0)]


SAME = {"stage_1/train/loss": [(1, 0.5), (2, float("nan"))], "stage_1/train/memory_mib": [(1, 7.0)]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"stage_1/train/memory_mib": [(1, 8.0)]}, []),
        ({"stage_1/train/loss": [(1, 0.5000000000000001), (2, float("nan"))]},
         ["stage_1/train/loss differs from step 1 on: 0.5 and 0.5000000000000001"]),
        ({"stage_1/train/loss": [(1, 0.5), (2, 0.0)]},
         ["stage_1/train/loss differs from step 2 on: nan and 0.0"]),
        ({"stage_1/train/loss": [(1, 0.5)]},
         ["stage_1/train/loss has 2 points and 1, or other steps"]),
        ({"stage_1/train/loss": [(1, 0.5), (1, 0.5), (2, float("nan"))]},
         ["stage_1/train/loss has 2 points and 3, or other steps"]),
        ({"stage_2/train/loss": [(1, 0.5)]}, ["stage_2/train/loss is in the second run alone"]),
    ],
)  # fmt: skip
def test_curve_differences(changes, expected):
    assert curve_differences(SAME, {**SAME, **changes}) == expected


def make_run(out, value=1.0):
    (out / "stage_1").mkdir(parents=True)
    (out / "checkpoints").mkdir()
    save_file({"weight": torch.tensor([value])}, out / "stage_1" / "model.safetensors")
    (out / "config.json").write_text("{}")
    return out


def test_file_differences(tmp_path):
    one, same = make_run(tmp_path / "one"), make_run(tmp_path / "same")
    (same / "checkpoints" / "step-1.pt").write_text("only needed to go on")
    (same / ".config.json.1234.tmp").write_text("half")
    assert file_differences(one, same) == []
    assert left_over(same) == [".config.json.1234.tmp"] and left_over(one) == []
    assert weights(one) == ["stage_1/model.safetensors"]

    other = make_run(tmp_path / "other", 1.0000001)
    (other / "errors.json").write_text("{}")
    (other / "config.json").unlink()
    assert file_differences(one, other) == [
        "config.json is in the first run alone",
        "errors.json is in the second run alone",
        "stage_1/model.safetensors differs",
    ]
