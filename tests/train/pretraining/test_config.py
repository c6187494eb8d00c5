import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.models import ReadOut
from stofm_pyg.train import OptimizerConfig
from stofm_pyg.train.pretraining.config import PretrainConfig, StageConfig
from stofm_pyg.train.pretraining.presets import PRESETS


def test_the_defaults_are_those_of_the_paper():
    stage = StageConfig()
    assert stage.objectives == {"mcm": 1.0, "pdr": 0.01} and stage.mcm_loss == "mse"
    assert stage.num_epochs == 2 and stage.sigma == 5.0


def test_the_optimiser_and_the_read_out_are_settings():
    changes = {
        "stage_1": {"optimizer": {"name": "adam", "beta_2": 0.95}},
        "read_out": {"layers": "all", "part_shares": [1, 0.5]},
    }
    config = PretrainConfig.from_dict(changes)
    assert config.stage_1.optimizer == OptimizerConfig(name="adam", beta_2=0.95)
    assert config.stage_2.optimizer == OptimizerConfig()
    assert config.read_out == ReadOut("all", part_shares=(1, 0.5))
    with pytest.raises(ValueError, match="Unknown key 'stage_1.optimizer.beta' .* did you mean"):
        PretrainConfig.from_dict({"stage_1": {"optimizer": {"beta": 1}}})
    with pytest.raises(ValueError, match="Unknown schedule 'step'"):
        PretrainConfig.from_dict({"stage_1": {"optimizer": {"schedule": "step"}}})


def test_how_many_steps():
    assert StageConfig(num_epochs=3).num_steps(10) == 30
    assert StageConfig(num_epochs=3, max_steps=7).num_steps(10) == 7
    assert StageConfig(num_epochs=3, max_steps=70).num_steps(10) == 30
    assert StageConfig(num_epochs=0, max_steps=7).num_steps(10) == 0


def test_defaults_are_not_shared():
    assert StageConfig().objectives is not StageConfig().objectives


def test_the_stages_are_those_of_the_paper():
    paper = PRESETS["paper"]
    assert paper.stage_1.num_epochs == 2 and paper.stage_2.num_epochs == 1
    assert (paper.stage_1.mask_rate, paper.stage_1.move_rate) == (0.1, 0.1)
    assert (paper.cell_encoder.num_layers, paper.cell_encoder.hidden_channels) == (6, 256)


@pytest.mark.parametrize("name", list(PRESETS))
def test_there_and_back(name, tmp_path):
    config = PRESETS[name]
    assert PretrainConfig.from_dict(config.to_dict()) == config
    plain = json.loads(json.dumps(config.to_dict()))
    assert PretrainConfig.from_dict(plain) == config
    config.save(tmp_path / "a.json")
    assert PretrainConfig.read(tmp_path / "a.json") == config
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(plain))
    assert PretrainConfig.read(tmp_path / "a.yaml") == config


@given(lr=st.floats(1e-6, 1.0), seed=st.integers(0, 10), names=st.lists(st.text(min_size=1), min_size=1))
def test_values_replace_those_of_the_preset(lr, seed, names):
    changes = {"stage_2": {"lr": lr}, "seed": seed, "held_out": names}
    config = PretrainConfig.from_dict(json.loads(json.dumps(changes)), PRESETS["tiny"])
    assert config.stage_2.lr == lr and config.seed == seed and config.held_out == names
    assert config.stage_1 == PRESETS["tiny"].stage_1
    assert config.stage_2.sigma == PRESETS["tiny"].stage_2.sigma


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stage1": {}}, "Unknown key 'stage1' in the configuration; did you mean 'stage_1'"),
        ({"stage_1": {"lrr": 1}}, "Unknown key 'stage_1.lrr' .* did you mean 'stage_1.lr'"),
        ({"zzz": 1}, "Unknown key 'zzz' .* known: adaptation"),
        ({"stage_1": {"batch_size": 0}}, "'batch_size' must be at least 1"),
        ({"stage_1": {"min_cells": 5}}, "'min_cells' and 'max_cells' must be ordered .*got 5 and 0"),
        ({"stage_1": {"max_cells": 5}}, "both zero .got 0 and 5"),
        ({"stage_1": {"max_steps": -1}}, "'max_steps' must not be negative"),
        ({"stage_1": {"num_epochs": -1}}, "'num_epochs' must not be negative"),
        ({"stage_1": {"drop_rate": 1.0}}, "'drop_rate' must lie in"),
        ({"stage_1": {"scale": -0.5}}, "'scale' must lie in"),
        ({"stage_1": {"objectives": {}}}, "at least one objective"),
        ({"stage_1": {"objectives": {"mcm": -1}}}, "not negative"),
    ],
)
def test_bad_values(changes, words):
    with pytest.raises(ValueError, match=words):
        PretrainConfig.from_dict(changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stage_1": 3}, "'stage_1' takes keys and values"),
        ({"stage_1": {"lr": "1e-3"}}, "'stage_1.lr' takes a float .* write 1.0e-3"),
        ({"stage_1": {"num_epochs": 1.5}}, "'stage_1.num_epochs' takes a int"),
        ({"stage_1": {"num_epochs": True}}, "takes a int"),
        ({"stage_1": {"objectives": 1}}, "'stage_1.objectives' takes keys"),
        ({"held_out": 0.5}, "'held_out' takes a number of slices or a list of names"),
        ({"held_out": [1]}, "'held_out' takes"),
    ],
)
def test_bad_types(changes, words):
    with pytest.raises(TypeError, match=words):
        PretrainConfig.from_dict(changes)


def test_whole_numbers_are_numbers():
    assert PretrainConfig.from_dict({"stage_1": {"lr": 1}}).stage_1.lr == 1.0


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="no configuration"):
        PretrainConfig.read(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_text("a: [1")
    with pytest.raises(ValueError, match="neither YAML nor JSON"):
        PretrainConfig.read(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("- 1")
    with pytest.raises(ValueError, match="holds a list; write 'key: value' lines"):
        PretrainConfig.read(tmp_path / "b.yaml")
