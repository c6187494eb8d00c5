import pytest
import torch

from stofm_pyg.train import OptimizerConfig, Trainer, find_device

rate = OptimizerConfig().rate


@pytest.mark.parametrize("num_steps", [20, 100, 1000])
def test_warm_up_and_cosine(num_steps):
    warmup = num_steps // 10
    assert rate(0, num_steps) == pytest.approx(1 / warmup)
    assert rate(warmup // 2 - 1, num_steps) == pytest.approx(0.5)
    assert rate(warmup - 1, num_steps) == 1.0
    assert rate(warmup, num_steps) == 1.0
    assert rate((num_steps + warmup) // 2, num_steps) == pytest.approx(0.5)
    third = warmup + (num_steps - warmup) // 3
    assert rate(third, num_steps) == pytest.approx(0.75)
    assert rate(num_steps, num_steps) == pytest.approx(0.0)


def test_of_few_steps():
    assert rate(0, 1) == 1.0
    assert [rate(step, 3) for step in range(3)] == pytest.approx([1.0, 1.0, 0.5])


@pytest.mark.parametrize("step", [21, 25, 40])
def test_the_rate_does_not_rise_again_behind_the_last_step(step):
    assert rate(step, 20) == pytest.approx(0.0)


def test_other_schedules():
    linear = OptimizerConfig(schedule="linear", warmup=0.2)
    assert [linear.rate(step, 10) for step in range(10)] == pytest.approx(
        [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    )
    constant = OptimizerConfig(schedule="constant", warmup=0.0)
    assert [constant.rate(step, 10) for step in (0, 5, 9, 20)] == [1.0] * 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "sgd"}, "Unknown optimiser 'sgd'; known: adamw, adam"),
        ({"schedule": "step"}, "Unknown schedule 'step'; known: cosine, linear, constant"),
        ({"beta_1": 1.0}, r"'beta_1', 'beta_2' and 'warmup' must lie in \[0, 1\) \(got 1.0, 0.999"),
        ({"warmup": -0.1}, r"must lie in \[0, 1\)"),
        ({"clip_norm": 0.0}, r"'clip_norm' must be positive \(got 0.0\)"),
    ],
)
def test_bad_values(changes, words):
    with pytest.raises(ValueError, match=words):
        OptimizerConfig(**changes)


class Steep(torch.nn.Module):
    """A constant gradient of (30, 40), whose norm is 50."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(2))

    def forward(self, batch):
        return {"loss": (self.w * torch.tensor([30.0, 40.0])).sum()}


def trained(**changes):
    module = Steep()
    seen = []
    settings = OptimizerConfig(**{"schedule": "constant", "warmup": 0.0, **changes})
    trainer = Trainer(
        module, lr=0.1, weight_decay=0.0, on_step=lambda *_: seen.append(trainer._optimizer),
        optimizer=settings,
    )  # fmt: skip
    trainer.fit([torch.zeros(1)] * 3, num_steps=3)
    return module.w.detach(), seen[0]


def test_what_the_settings_do():
    # Of a constant gradient Adam takes steps of the learning rate, whatever its size.
    w, optimizer = trained()
    assert isinstance(optimizer, torch.optim.AdamW)
    assert w.tolist() == pytest.approx([-0.3, -0.3], abs=1e-6)
    w, optimizer = trained(name="adam", beta_1=0.5, beta_2=0.9)
    assert not isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["betas"] == (0.5, 0.9)
    w, _ = trained(schedule="linear")
    assert w.tolist() == pytest.approx([-0.1 * (1 + 2 / 3 + 1 / 3)] * 2, abs=1e-6)
    # The gradient is clipped before the optimiser sees it: its mean holds the clipped one.
    for norm in (1.0, 5.0):
        _, optimizer = trained(clip_norm=norm, beta_1=0.0)
        (state,) = optimizer.state.values()
        assert float(state["exp_avg"].norm()) == pytest.approx(norm, rel=1e-4)


def test_devices():
    assert find_device("cpu") == torch.device("cpu") == find_device(torch.device("cpu"))
    assert find_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ValueError, match="The device 'gpu' cannot be used here .* use 'auto' or 'cpu'"):
        find_device("gpu")
