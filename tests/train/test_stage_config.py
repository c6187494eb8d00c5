from stofm_pyg.train.stage_config import StageConfig


def test_the_defaults_are_those_of_the_paper():
    stage = StageConfig()
    assert stage.objectives == {"mcm": 1.0, "pdr": 0.01} and stage.mcm_loss == "mse"
    assert stage.num_epochs == 2 and stage.sigma == 5.0


def test_defaults_are_not_shared():
    assert StageConfig().objectives is not StageConfig().objectives
