import copy
import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

import torch

from stofm_pyg._files import write_atomically
from stofm_pyg.data import CellTokens
from stofm_pyg.models import CellEncoder
from stofm_pyg.models.cell_encoder import GeneBag, max_components, start_as_bag
from stofm_pyg.train.adaptation._adapt_cell_encoder import adapt_cell_encoder
from stofm_pyg.train.pretraining.curves import PretrainCurves
from stofm_pyg.train.pretraining.features import fit_feature_scale, some_cells
from stofm_pyg.train.pretraining.run import CHECKPOINTS, CURVES, PretrainRun

logger = logging.getLogger(__name__)

FOLDER, READY, NAME = "frozen_encoder", "ready.json", "adaptation"
SAVE_EVERY = 100


def prepare_cell_encoder(
    run: PretrainRun, given: CellEncoder | None = None, scale: bool = True
) -> CellEncoder | None:
    r"""Returns the cell encoder that the first stage keeps frozen, with a scale of its embeddings: a
    given one, or one from scratch that is adapted to cells of the corpus first. It is kept in the
    folder of the run.

    Args:
        run (PretrainRun): The run.
        given (CellEncoder, optional): An encoder for the vocabulary of the corpus.
            (default: :obj:`None`)
        scale (bool, optional): Whether an encoder without a scale gets one. (default: :obj:`True`)

    Returns:
        The encoder; :obj:`None` if the run was told to end before it was ready.
    """
    folder = run.out / FOLDER
    stopped = False
    if run.first and not (run.resume and _is_ready(run, folder)):
        # The caller's encoder stays as it is.
        encoder = copy.deepcopy(given) if given is not None else _from_scratch(run)
        stopped = encoder is None
        if not stopped:
            if scale and encoder.scale is None:
                encoder.scale = fit_feature_scale(
                    encoder.to(run.device), run.train, seed=run.config.seed
                )
            encoder.save_pretrained(folder)
            text = json.dumps(run.marks()) + "\n"
            write_atomically(folder / READY, lambda part: part.write_text(text, encoding="utf-8"))
    run.wait()
    if run.any(stopped):
        return None
    encoder = CellEncoder.from_pretrained(folder)
    encoder.check_vocab(run.corpus.vocab)
    return encoder.eval()


def _is_ready(run: PretrainRun, folder: Path) -> bool:
    try:
        marks = json.loads((folder / READY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    run.check(marks, folder)
    return True


def _from_scratch(run: PretrainRun) -> CellEncoder | None:
    config, vocab = run.config, run.corpus.vocab
    with torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        encoder = CellEncoder(
            len(vocab),
            **asdict(config.cell_encoder),
            gene_head=True,
            vocab_fingerprint=vocab.fingerprint,
        )
        generator = torch.Generator().manual_seed(config.seed)
        share = min(1.0, config.adaptation_cells / run.train.num_cells)
        parts = [some_cells(shard, share, generator) for shard in run.train.shards]
        parts = [part.truncate(encoder.max_length) for part in parts]
        start_as_bag(encoder, GeneBag.fit(parts, len(vocab), max_components(encoder)))
        if config.adaptation.num_steps == 0:
            return encoder.eval()
        cells = CellTokens.concat(parts)
        settings = replace(config.adaptation, seed=config.seed)
        return _adapted(run, encoder.to(run.device), cells, settings)


def _adapted(run: PretrainRun, encoder: CellEncoder, cells: CellTokens, settings) -> CellEncoder | None:
    curves = None

    def on_step(step: int, scalars: dict[str, float]):
        nonlocal curves
        if curves is None:
            curves = PretrainCurves(
                run.out / CURVES, NAME, step - 1, settings.num_steps, 0.0, True, bar=run.shown
            )
        curves.add(step, scalars)
        if step % SAVE_EVERY == 0:
            curves.flush()

    checkpoints = run.out / CHECKPOINTS / NAME
    try:
        result = adapt_cell_encoder(
            encoder, cells, run.corpus.vocab, settings, checkpoints=checkpoints,
            save_every=SAVE_EVERY, on_step=on_step, stop=run.stop,
        )  # fmt: skip
    finally:
        if curves is not None:
            curves.close()
    if result.stopped:
        return None
    logger.info("Held-out masked-gene accuracy %.4f", result.held_out_accuracy)
    return encoder.eval()
