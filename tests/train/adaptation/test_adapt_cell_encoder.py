import logging

import pytest
import torch

from stofm_pyg.data import GeneVocab
from stofm_pyg.train import AdaptationSettings, Checkpoints, adapt_cell_encoder
from tests.train.adaptation_case import make_cells, make_encoder, make_vocab

VOCAB = make_vocab()
CELLS = make_cells(VOCAB)
SETTINGS = AdaptationSettings(num_steps=12, max_tokens=400, lr=5e-3)


class Stop(Exception):
    pass


def adapt(folder=None, stop_at=None, settings=SETTINGS, cells=CELLS, seed=0):
    """A run that may break off after a step: its curve, its result, its encoder."""
    encoder, curve, result = make_encoder(VOCAB), {}, None

    def on_step(step, scalars):
        curve[step] = dict(scalars)
        if step == stop_at:
            raise Stop

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            result = adapt_cell_encoder(
                encoder, cells, VOCAB, settings, checkpoints=folder, save_every=4, on_step=on_step
            )
        except Stop:
            pass
    return curve, result, encoder


def test_goes_on_to_the_last_digit(tmp_path):
    whole, expected, encoder = adapt()
    broken, _, _ = adapt(tmp_path, stop_at=6)
    # Another state of the random numbers: what counts is in the checkpoint.
    rest, result, resumed = adapt(tmp_path, seed=99)
    assert sorted(broken) == [1, 2, 3, 4, 5, 6] and sorted(rest) == list(range(5, 13))
    assert {**broken, **rest} == whole and result.held_out_accuracy == expected.held_out_accuracy
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_damaged_checkpoint_costs_steps_only(tmp_path, caplog):
    whole, _, _ = adapt()
    adapt(tmp_path, stop_at=9)
    newest = Checkpoints(tmp_path).paths()[0]
    assert newest.name == "step-00000008.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    with caplog.at_level(logging.WARNING):
        rest, _, _ = adapt(tmp_path)
    assert sorted(rest) == list(range(5, 13)) and "step-00000008.pt" in caplog.text
    assert rest == {step: whole[step] for step in rest}


def test_a_run_that_is_done(tmp_path):
    _, first, encoder = adapt(tmp_path)
    rest, again, same = adapt(tmp_path)
    assert rest == {} and again.history == []
    assert again.held_out_accuracy == first.held_out_accuracy
    assert torch.equal(encoder.proj.weight, same.proj.weight)


def test_other_settings_or_cells_are_refused(tmp_path):
    adapt(tmp_path, stop_at=5)
    other = AdaptationSettings(num_steps=12, max_tokens=400, lr=1e-3)
    with pytest.raises(ValueError, match=r"is of another run \(lr 0.005 -> 0.001\)"):
        adapt(tmp_path, settings=other)
    with pytest.raises(ValueError, match=r"another run \(cells "):
        adapt(tmp_path, cells=make_cells(VOCAB, seed=1))


def test_learns_what_is_to_be_learned():
    """Only a third of the genes fits a cell, the others cannot be the answer."""
    settings = AdaptationSettings(num_steps=200, max_tokens=1500, lr=5e-3)
    curve, _, encoder = adapt(settings=settings)
    assert curve[1]["mgm"] > 3.4 and curve[200]["mgm"] < 3.3
    assert curve[200]["contrastive"] < 0.8 * curve[1]["contrastive"]
    x = encoder.eval().encode(CELLS)
    same = (x @ x.t())[:60, :60]
    kind = torch.arange(60) % 3
    alike = kind[:, None] == kind
    assert same[alike].mean() > same[~alike].mean() + 0.3


def test_scalars():
    curve, result, _ = adapt()
    names = {"mgm", "contrastive", "accuracy", "loss", "grad_norm", "lr", "held_out_accuracy"}
    assert curve[3].keys() == names
    assert [step["lr"] for step in result.history] == [step["lr"] for step in curve.values()]
    assert curve[12]["lr"] == pytest.approx(0.0)


def test_a_vocabulary_that_does_not_fit():
    encoder = make_encoder(make_vocab())
    other = GeneVocab({"A": 2, "B": 3}, {"A": 1.0, "B": 1.0})
    with pytest.raises(ValueError, match="do not fit"):
        adapt_cell_encoder(encoder, CELLS, other)


def test_save_every():
    with pytest.raises(ValueError, match=r"'save_every' must be at least 1 \(got 0\)"):
        adapt_cell_encoder(make_encoder(VOCAB), CELLS, VOCAB, SETTINGS, save_every=0)
