from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from stofm_pyg._files import write_atomically
from stofm_pyg.corpus import Corpus
from stofm_pyg.models import CellEncoder, SToFM
from stofm_pyg.models.joint_model import JointModel
from stofm_pyg.models.official._load import MASK
from stofm_pyg.nn import start_local
from stofm_pyg.train.objectives.pretraining import Pretraining
from stofm_pyg.train.pretraining.cell_encoder import prepare_cell_encoder
from stofm_pyg.train.pretraining.config import PretrainConfig, StageConfig
from stofm_pyg.train.pretraining.features import encode_corpus
from stofm_pyg.train.pretraining.objectives import OBJECTIVES, ObjectiveContext, make_objectives
from stofm_pyg.train.pretraining.run import CHECKPOINTS, FEATURES, PretrainRun
from stofm_pyg.train.pretraining.stages import run_stage

if TYPE_CHECKING:
    from accelerate import Accelerator

logger = logging.getLogger(__name__)

CONFIG, ERRORS = "pretraining.json", "errors.json"


def pretrain(
    corpus: Corpus,
    out: str | os.PathLike,
    config: PretrainConfig | None = None,
    *,
    cell_encoder: CellEncoder | None = None,
    accelerator: Accelerator | None = None,
    resume: bool = False,
    num_workers: int = 0,
    stop: Callable[[], bool] | None = None,
    objectives: Mapping[str, Callable[[ObjectiveContext], torch.nn.Module]] = OBJECTIVES,
) -> dict[str, Any] | None:
    r"""Pre-trains the whole model on a corpus, as in the `"SToFM" <https://arxiv.org/abs/2507.11588>`_
    paper: first the slice encoder on embeddings of a frozen cell encoder, then both.

    A cell encoder is adapted to the corpus first, unless one is given. The folder of the run then holds
    the model as :meth:`SToFM.from_pretrained` reads it (:obj:`model.safetensors`), that of the first
    stage in :obj:`stage_1`, the configuration, errors on the slices held out, checkpoints and curves.

    Args:
        corpus (Corpus): The slices.
        out (str or PathLike): The folder of the run, which all processes share.
        config (PretrainConfig, optional): The configuration. (default: :obj:`None`)
        cell_encoder (CellEncoder, optional): An encoder for the vocabulary of the corpus.
            (default: :obj:`None`)
        accelerator (Accelerator, optional): Several processes, a GPU, or bf16.
            (default: :obj:`None`)
        resume (bool, optional): Go on from the newest checkpoint in the folder, if there is one, as if
            the run had never been broken off. (default: :obj:`False`)
        num_workers (int, optional): Processes that load subpatches. (default: :obj:`0`)
        stop (Callable, optional): Asked in every step whether to end after it, with a checkpoint; see
            :class:`Termination`. (default: :obj:`None`)
        objectives (Mapping, optional): The objectives that the configuration may name, each made from
            an :class:`ObjectiveContext`. (default: :obj:`OBJECTIVES`)

    Returns:
        The errors on the slices held out, before and after each stage, beside those of simple guesses;
        :obj:`None` if the run was told to end before it was over.

    Raises:
        ValueError: The folder holds another run, or configuration, corpus and encoder do not fit.
        FloatingPointError: The loss was not finite; the last good step is kept.
    """
    config = config or PretrainConfig()
    out = Path(out).expanduser()
    run = PretrainRun(corpus, config, out, accelerator, num_workers, stop, resume)
    if not resume and (any(out.glob(f"{CHECKPOINTS}/*/step-*.pt")) or (out / CONFIG).exists()):
        raise ValueError(
            f"'{out}' holds a run already; go on with '--resume auto', or name another folder"
        )
    logger.info("Trains on %s, holds out %s", run.train, ", ".join(run.held_out.names))
    run.wait()
    if run.first:
        out.mkdir(parents=True, exist_ok=True)
        config.save(out / CONFIG)
    encoder = prepare_cell_encoder(run, cell_encoder)
    if encoder is None:
        return None
    features = encode_corpus(
        encoder.to(run.device),
        corpus,
        out / FEATURES,
        center=config.model.center,
        share=run.share,
        progress=run.first,
    )
    run.wait()

    model = _model(config, encoder, corpus.settings.radius)
    errors: dict[str, Any] = {}
    heads: dict[str, torch.nn.Module] = {}
    for name, stage in (("stage_1", config.stage_1), ("stage_2", config.stage_2)):
        if stage.num_epochs == 0:
            continue
        both = name == "stage_2"
        module = _module(run, stage, model, encoder, both, objectives, heads)
        result, module = run_stage(name, run, stage, module, features, tokens=both)
        if result is None:
            return None
        errors[name] = result
        heads = dict(module.objectives)
        model = module.model.model if both else module.model
        encoder = module.model.cell_encoder if both else encoder
        if run.first and not both:
            _save(out / name, model, encoder, corpus)
    if run.first:
        _save(out, model, encoder, corpus)
        text = json.dumps(errors, indent=2) + "\n"
        write_atomically(out / ERRORS, lambda part: part.write_text(text, encoding="utf-8"))
    run.wait()
    return errors


def _model(config: PretrainConfig, encoder: CellEncoder, radius: float) -> SToFM:
    sizes = asdict(config.model)
    vector, local = sizes.pop("mask_vector"), sizes.pop("local_start")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = SToFM(encoder.out_channels, **sizes, max_distance=radius)
    if local:
        start_local(model.encoder, radius)
    if vector not in ("learned", "official"):
        raise ValueError(f"Unknown 'model.mask_vector' '{vector}'; known: learned, official")
    if vector == "official":
        torch.nn.init.constant_(model.mask_token, MASK).requires_grad_(False)
    return model


def _module(
    run: PretrainRun,
    stage: StageConfig,
    model: SToFM,
    encoder: CellEncoder,
    both: bool,
    known: Mapping[str, Callable[[ObjectiveContext], torch.nn.Module]],
    heads: Mapping[str, torch.nn.Module],
) -> Pretraining:
    # Heads that were trained in the stage before go on.
    context = ObjectiveContext(
        model, encoder, run.corpus.vocab, run.train, run.corpus.settings.radius, stage, both
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.config.seed)
        objectives = make_objectives(context, known)
    objectives = {name: heads.get(name, made) for name, made in objectives.items()}
    whole: torch.nn.Module = model
    if both:
        whole = JointModel(encoder, model, stage.max_tokens, stage.jitter)
        if encoder.gene_head is not None:
            encoder.gene_head.requires_grad_("mgm" in objectives)
    weights = {name: stage.objectives[name] for name in objectives}
    return Pretraining(whole, objectives, weights)


def _save(folder: Path, model: SToFM, encoder: CellEncoder, corpus: Corpus):
    model.set_cell_encoder(encoder, corpus.vocab)
    model.save_pretrained(folder)
    model.cell_encoder = None  # In training it is not a part of the slice encoder.
