import copy
import math

import pytest
import torch
from torch_geometric.data import Batch, Data

from stofm_pyg.train import MicroBatch, OptimizerConfig, Trainer


class Quadratic(torch.nn.Module):
    """A loss of (w - 1)^2 + 0.5, whose smallest value is 0.5; a batch may carry a factor."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
        self.modes = []

    def forward(self, batch):
        self.modes.append(self.training)
        squares = (self.w - 1).square()
        loss = batch.factor * squares.sum() + 0.5
        return {"first": squares[0], "loss": loss}


def batches(number, factor=1.0):
    return [Data(factor=torch.tensor(factor)) for _ in range(number)]


def test_finds_the_minimum():
    module = Quadratic()
    history = Trainer(module, lr=0.1, weight_decay=0.0).fit(batches(200), num_steps=200)
    assert history[0]["loss"] == 8.5 and history[0]["first"] == 4.0
    assert history[-1]["loss"] == pytest.approx(0.5, abs=1e-3)
    assert module.w.tolist() == pytest.approx([1.0, 1.0], abs=0.03)


def test_history_and_on_step():
    steps = []
    trainer = Trainer(Quadratic(), on_step=lambda step, scalars: steps.append((step, scalars)))
    history = trainer.fit(batches(7), num_steps=7)
    assert steps == list(enumerate(history, start=1)) and len(history) == 7
    for scalars in history:
        assert scalars.keys() == {"first", "loss", "grad_norm"}
        assert all(isinstance(value, float) for value in scalars.values())


def test_no_batches():
    assert Trainer(Quadratic()).fit([], num_steps=0) == []


def test_trains_in_training_mode_and_leaves_in_evaluation_mode():
    module = Quadratic().eval()
    Trainer(module).fit(batches(3), num_steps=3)
    assert module.modes == [True] * 3 and not module.training


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite(bad):
    module = Quadratic()
    seen = []
    trainer = Trainer(module, lr=0.02, on_step=lambda step, _: seen.append(module.w.tolist()))
    loader = [*batches(2), *batches(1, factor=bad), *batches(2)]
    with pytest.raises(FloatingPointError) as error:
        trainer.fit(loader, num_steps=5)
    assert str(error.value) == (
        f"The loss of step 3 is {bad}; check the features for values that are not finite, or lower "
        f"'lr' (now 0.02)"
    )
    # What was learned until then is kept, and can be saved.
    assert len(seen) == 2 and module.w.tolist() == seen[-1]
    state = trainer.state_dict()
    assert trainer.step == state["step"] == 2 and state["optimizer"]["state"][0]["step"] == 2
    assert state["schedule"]["last_epoch"] == 2


def test_gradients_are_clipped():
    module = Quadratic()
    norms = []
    trainer = Trainer(module, on_step=lambda *_: norms.append(float(module.w.grad.norm())))
    history = trainer.fit([*batches(2, factor=1000.0), *batches(1, factor=1e-3)], num_steps=3)
    # What it was before, of a gradient 2000 (w - 1) at (3, -1).
    assert history[0]["grad_norm"] == pytest.approx(2000 * math.sqrt(8))
    assert norms[:2] == pytest.approx([1.0, 1.0], rel=1e-3)
    assert norms[2] < 0.01


def test_the_rate_of_each_step():
    # The first step of Adam, and every one of a constant gradient, is as long as the rate.
    class Slope(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(1))

        def forward(self, batch):
            return {"loss": self.w.sum()}

    module = Slope()
    places = [0.0]
    trainer = Trainer(
        module, lr=0.1, weight_decay=0.0, on_step=lambda *_: places.append(module.w.item())
    )
    trainer.fit(batches(20), num_steps=20)
    moved = [before - after for before, after in zip(places, places[1:], strict=False)]
    expected = [0.1 * OptimizerConfig().rate(step, 20) for step in range(20)]
    assert moved == pytest.approx(expected, abs=1e-5)


def test_weight_decay():
    class Flat(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.ones(1))

        def forward(self, batch):
            return {"loss": 0.0 * self.w.sum()}

    module = Flat()
    Trainer(module, lr=0.1, weight_decay=0.5).fit(batches(1), num_steps=1)
    assert module.w.item() == pytest.approx(1 - 0.1 * 0.5)


def noisy_run(seed):
    torch.manual_seed(seed)
    module = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))

    class Regression(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.module = module

        def forward(self, batch):
            return {"loss": (self.module(batch.x) - 1).square().mean()}

    loader = [Data(x=torch.randn(5, 3)) for _ in range(10)]
    history = Trainer(Regression(), lr=0.01).fit(loader, num_steps=10)
    return history, [p.detach() for p in module.parameters()]


def test_a_seed_gives_the_same_run():
    (history, weights), (same_history, same_weights) = noisy_run(0), noisy_run(0)
    assert history == same_history
    assert all(torch.equal(a, b) for a, b in zip(weights, same_weights, strict=True))
    assert noisy_run(1)[0] != history


def test_a_loader_of_any_kind():
    assert len(Trainer(Quadratic()).fit((batch for batch in batches(4)), num_steps=4)) == 4


def test_an_error_of_on_step_is_not_hidden():
    def stop(step, scalars):
        if step == 2:
            raise KeyboardInterrupt

    module = Quadratic()
    with pytest.raises(KeyboardInterrupt):
        Trainer(module, on_step=stop).fit(batches(5), num_steps=5)
    assert len(module.modes) == 2


@pytest.mark.parametrize("lr", [0.0, -1e-3, math.inf, math.nan])
def test_learning_rate(lr):
    with pytest.raises(ValueError, match=rf"'lr' must be positive and finite \(got {lr}\)"):
        Trainer(Quadratic(), lr=lr)


def test_goes_on_from_a_state_to_the_last_digit():
    class Regression(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(1)
            self.module = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.5))

        def forward(self, batch):
            return {"loss": (self.module(batch.x) - 1).square().mean()}

    def run(trainer, loader):
        torch.manual_seed(0)
        return trainer.fit(loader, num_steps=10)

    generator = torch.Generator().manual_seed(0)
    loader = [Data(x=torch.randn(5, 3, generator=generator)) for _ in range(10)]
    states, rates = {}, []

    def keep(step, _):
        states[step] = copy.deepcopy(whole.state_dict())
        rates.append(whole.current_lr)

    whole = Trainer(Regression(), lr=0.01, on_step=keep)
    history = run(whole, loader)
    assert rates == pytest.approx([0.01 * OptimizerConfig().rate(step, 10) for step in range(1, 11)])

    rest = Trainer(Regression(), lr=0.01)
    rest.load_state_dict(states[4])
    torch.rand(7)  # What is random goes on from the state, too.
    assert rest.fit(loader[4:], num_steps=10) == history[4:] and rest.step == 10
    for a, b in zip(whole.module.parameters(), rest.module.parameters(), strict=True):
        assert torch.equal(a, b)

    done = Trainer(Regression(), lr=0.01)
    done.load_state_dict(states[10])
    assert done.fit(loader, num_steps=10) == []
    # A state is for one fit; the next begins anew.
    assert len(done.fit(loader, num_steps=10)) == 10


def test_a_gradient_that_is_not_finite_and_the_slices_to_blame():
    class Root(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(1))

        def forward(self, batch):
            return {"loss": (self.w - batch.shift).sqrt().sum()}

    def part(shift, *names):
        shift = torch.tensor([shift])
        return MicroBatch(Batch.from_data_list([Data(shift=shift, name=name) for name in names]))

    module = Root()
    with pytest.raises(FloatingPointError) as error:
        Trainer(module).fit([[part(-1.0, "b"), part(0.0, "a", "b")]], num_steps=1)
    assert "The gradient's norm of step 1 is inf; check the features of 'a', 'b' " in str(error.value)
    with pytest.raises(FloatingPointError, match=r"loss of step 1 is nan; .* of 'a' for values that"):
        Trainer(module).fit([[part(-1.0, "b"), part(1.0, "a"), part(-1.0, "c")]], num_steps=1)
    assert module.w.item() == 0.0


def test_micro_batches_are_one_step():
    def run(steps):
        module = Quadratic()
        return Trainer(module, lr=0.1).fit(steps, num_steps=3), module.w.tolist()

    parts = [MicroBatch(batch) for batch in (*batches(1, 2.0), *batches(1, 4.0))]
    history, w = run([parts] * 3)
    expected, expected_w = run(batches(3, 3.0))
    for ours, theirs in zip(history, expected, strict=True):
        assert ours == pytest.approx(theirs)
    assert w == pytest.approx(expected_w)
    filler = MicroBatch(*batches(1, 100.0), counted=False)
    assert run([[*parts, filler]] * 3) == (history, w)


def test_losses_count_by_their_items():
    class Means(torch.nn.Module):
        """Two means over different numbers of rows."""

        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(2))

        def counts(self, batch):
            return torch.tensor([batch.a.numel(), batch.b.numel()])

        def forward(self, batch, share):
            a = share[0] * (batch.a - self.w[0]).square().sum() / max(1, batch.a.numel())
            b = share[1] * (batch.b - self.w[1]).square().sum() / max(1, batch.b.numel())
            return {"a": a, "b": b, "loss": a + b}

    def part(a, b):
        return MicroBatch(Data(a=torch.tensor(a), b=torch.tensor(b)))

    whole = Trainer(Means()).fit([[part([1.0, 2.0, 3.0], [4.0, 8.0])]], 1)
    parts = Trainer(Means()).fit([[part([1.0, 2.0], []), part([3.0], [4.0]), part([], [8.0])]], 1)
    assert whole[0]["a"] == pytest.approx(14 / 3) and whole[0]["b"] == pytest.approx(40)
    assert parts[0] == pytest.approx(whole[0])


def test_what_is_frozen_stays():
    module = torch.nn.Linear(2, 2)
    module.bias.requires_grad_(False)

    class Norm(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.module = module

        def forward(self, batch):
            return {"loss": module(batch.x).square().sum()}

    before = module.bias.clone(), module.weight.clone()
    trainer = Trainer(Norm(), weight_decay=0.5)
    trainer.fit([Data(x=torch.ones(1, 2))] * 2, 2)
    assert torch.equal(module.bias, before[0]) and not torch.equal(module.weight, before[1])
    assert list(trainer.state_dict()["optimizer"]["state"]) == [0]
    module.weight.requires_grad_(False)
    with pytest.raises(ValueError, match="No parameter of the module requires a gradient; unfreeze"):
        Trainer(Norm()).fit([Data(x=torch.ones(1, 2))], 1)


def test_stop():
    trainer = Trainer(Quadratic(), stop=lambda: trainer.step == 3)
    assert len(trainer.fit(batches(9), num_steps=9)) == 4
    assert trainer.stopped and trainer.step == 4 and not trainer.module.training
    assert len(Trainer(Quadratic(), stop=lambda: False).fit(batches(9), num_steps=9)) == 9


def test_the_seed_decides_what_is_random_and_nothing_else_does():
    class Noise(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(1))
            self.drawn = []

        def forward(self, batch):
            self.drawn.append(torch.rand(2).tolist())
            return {"loss": self.w.sum()}

    def run(seed):
        module = Noise()
        steps = [[MicroBatch(batch) for batch in batches(2)] for _ in range(2)]
        Trainer(module, seed=seed).fit(steps, 2)
        return module.drawn

    state = torch.get_rng_state()
    drawn = run(5)
    assert torch.equal(torch.get_rng_state(), state)
    assert len({tuple(pair) for pair in drawn}) == 4
    torch.rand(3)
    assert run(5) == drawn != run(6)
    assert run(None) != run(None)
    with pytest.raises(ValueError, match=r"'seed' must be at least 0 \(got -1\)"):
        run(-1)
