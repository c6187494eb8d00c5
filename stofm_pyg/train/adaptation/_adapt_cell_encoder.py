import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from stofm_pyg.data import CellTokens, GeneVocab
from stofm_pyg.models.cell_encoder.model import CellEncoder
from stofm_pyg.train.adaptation.held_out_cells import held_out_accuracy
from stofm_pyg.train.adaptation.settings import AdaptationSettings
from stofm_pyg.train.adaptation.task import AdaptationTask
from stofm_pyg.train.engine.checkpoints import Checkpoints
from stofm_pyg.train.engine.trainer import Trainer

logger = logging.getLogger(__name__)

# The accuracy of the curve is that of so many batches, as many times; the last is that of all.
CURVE_BATCHES, CURVE_POINTS = 8, 10


@dataclass(frozen=True)
class AdaptationResult:
    r"""What became of a run of :meth:`adapt_cell_encoder`."""

    #: The scalars of each step that was done here, without those before it was resumed.
    history: list[dict[str, float]]
    #: The share of masked genes found in the cells held out.
    held_out_accuracy: float
    #: Whether it was told to end before the last step.
    stopped: bool = False


def adapt_cell_encoder(
    encoder: CellEncoder,
    cells: CellTokens,
    vocab: GeneVocab,
    settings: AdaptationSettings | None = None,
    *,
    checkpoints: str | os.PathLike | None = None,
    save_every: int = 100,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> AdaptationResult:
    r"""Adapts a cell encoder, in place, to the cells of some slices, by masked gene modelling and a
    contrastive loss (see :class:`DomainAdaptation`).

    Where checkpoints are kept, a run goes on from the newest, to the same weights as without a break.
    Dropout draws from torch's global generator, which is the caller's to seed.

    Args:
        encoder (CellEncoder): The encoder, with a head for masked genes.
        cells (CellTokens): The cells, CLS first, made with :obj:`vocab`.
        vocab (GeneVocab): The vocabulary of the encoder.
        settings (AdaptationSettings, optional): The settings. (default: :obj:`None`)
        checkpoints (str or PathLike, optional): The folder of the checkpoints; none are kept without.
            (default: :obj:`None`)
        save_every (int, optional): A checkpoint is written after so many steps, and after the last.
            (default: :obj:`100`)
        on_step (Callable, optional): Called after each step with the number of steps done and its
            scalars: losses, :obj:`"accuracy"`, :obj:`"lr"`, and now and then
            :obj:`"held_out_accuracy"`. (default: :obj:`None`)
        stop (Callable, optional): Asked in every step whether to end after it, with a checkpoint.
            (default: :obj:`None`)

    Raises:
        ValueError: The cells are of another vocabulary or too few, or the checkpoints are damaged or of
            a run with other settings or cells.
    """
    settings = settings or AdaptationSettings()
    if save_every < 1:
        raise ValueError(f"'save_every' must be at least 1 (got {save_every})")
    encoder.check_vocab(vocab)
    task = AdaptationTask(cells, vocab, settings)
    module, held = task.module(encoder), task.held_out()
    curve = held[:: -(-len(held) // CURVE_BATCHES)]
    curve_every = max(1, settings.num_steps // CURVE_POINTS)
    run = {"settings": asdict(settings), "vocab": vocab.fingerprint, "cells": task.fingerprint()}
    kept = Checkpoints(checkpoints) if checkpoints is not None else None

    def report(step: int, scalars: dict[str, float]):
        scalars["lr"] = trainer.current_lr
        if step % curve_every == 0 or step == settings.num_steps:
            scalars["held_out_accuracy"] = held_out_accuracy(module, curve)
        if on_step is not None:
            on_step(step, scalars)
        last = step == settings.num_steps or trainer.stopped
        if kept is not None and (step % save_every == 0 or last):
            kept.save(step, {**trainer.state_dict(), "run": run})

    trainer = Trainer(module, settings.lr, on_step=report, stop=stop)
    start = _resume(trainer, kept, run)
    history = trainer.fit(task.batches(start), settings.num_steps)
    stopped = trainer.stopped and trainer.step < settings.num_steps
    return AdaptationResult(history, held_out_accuracy(module, held), stopped)


def _resume(trainer: Trainer, kept: Checkpoints | None, run: dict[str, Any]) -> int:
    state = kept.load_newest() if kept is not None else None
    if state is None:
        return 0
    old, new = _flat(state["run"]), _flat(run)
    if old != new:
        changed = [f"{k} {old.get(k)} -> {new[k]}" for k in new if old.get(k) != new[k]]
        raise ValueError(
            f"'{kept.folder}' is of another run ({', '.join(changed)}); go on with the same settings "
            f"and slices, or begin anew in another folder"
        )
    trainer.load_state_dict(state)
    logger.info("Going on after step %d", state["step"])
    return state["step"]


def _flat(run: dict[str, Any]) -> dict[str, Any]:
    return {**run["settings"], "vocab": run["vocab"], "cells": run["cells"]}
