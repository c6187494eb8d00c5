import pytest

from benchmarks.speed.pretrain_stages import PretrainStages, events
from benchmarks.speed.stage_window import STEP_PARTS, WAITING
from stofm_pyg.train.engine.loader import PlanLoader
from stofm_pyg.train.engine.processes import Processes
from stofm_pyg.train.engine.trainer import Trainer
from stofm_pyg.train.pretraining.config import StageConfig
from tests.train.pretrain_case import make_config, make_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Three slices of 90 cells in subpatches of about 30; the last one is held out."""
    return make_corpus(tmp_path_factory.mktemp("tissue"))


@pytest.fixture(scope="module")
def stages(corpus, tmp_path_factory):
    config = make_config(stage_1={"batch_size": 2, "evaluate_every": 2, "save_every": 3})
    out = tmp_path_factory.mktemp("runs")
    return PretrainStages(corpus, config, out, steps=5, warm_up=2, num_workers=0)


@pytest.fixture(scope="module")
def encoded(stages):
    return stages.encode()


def test_encoding(corpus, stages, encoded):
    assert encoded["median_s"] > 0 and encoded["peak_mib"] > 100
    assert encoded["cells_per_second"] == pytest.approx(270 / encoded["median_s"])
    files = list(stages.features.iterdir())
    assert len(files) == 3
    assert encoded["bytes_per_cell"] == sum(file.stat().st_size for file in files) / 270
    # An encoder is not adapted for this.
    assert not (stages.out / "checkpoints").exists()


@pytest.mark.parametrize("name", ["stage_1", "stage_2"])
def test_a_stage(stages, encoded, name):
    before = PlanLoader.__iter__, Processes.backward, Trainer._losses
    row = stages.stage(name)
    assert (PlanLoader.__iter__, Processes.backward, Trainer._losses) == before
    assert tuple(row["parts"]) == STEP_PARTS and min(row["parts"].values()) >= -1e-9
    for part in (WAITING, "forward", "backward", "optimiser"):
        assert row["parts"][part] > 0
    assert row["step_s"] == pytest.approx(sum(row["parts"].values()))
    assert row["waiting_share"] == row["parts"][WAITING] / row["step_s"]
    # 180 cells in six subpatches, two of them in a step: five steps have ten of them.
    assert row["train_cells"] == 180 and row["cells_per_step"] == 60 and row["steps_per_pass"] == 3
    assert row["cells_per_second"] * 5 * row["step_s"] == pytest.approx(300, abs=25)
    assert row["evaluation_s"] > 0 and row["checkpoint_s"] > 0
    if name == "stage_1":
        assert (row["evaluations_per_pass"], row["saves_per_pass"]) == (2, 2)
    whole = 3 * row["step_s"] + row["evaluations_per_pass"] * row["evaluation_s"]
    whole += row["saves_per_pass"] * row["checkpoint_s"]
    assert row["median_s"] == pytest.approx(whole)
    loader = row["loader"]
    assert {"reading", "joining", "SpatialRadiusGraph", "MaskCells", "rest"} <= set(loader)
    assert ("JitterFeatures" in loader) == (name == "stage_1")
    # The run ended after the step that follows the ones that were timed.
    saved = stages.out / name / "checkpoints" / name
    assert sorted(path.stem for path in saved.glob("step-*"))[-1] == "step-00000008"


@pytest.mark.parametrize(
    ("steps", "evaluate", "save", "expected"),
    [
        (10, 4, 3, (3, 6)),  # 4, 8, 10; and 3, 6, 9.
        (10, 5, 5, (2, 2)),
        (3, 200, 200, (1, 1)),
        (400, 200, 100, (2, 4)),
    ],
)
def test_events(steps, evaluate, save, expected):
    assert events(steps, StageConfig(evaluate_every=evaluate, save_every=save)) == expected
