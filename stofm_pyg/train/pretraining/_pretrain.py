from __future__ import annotations

import copy
import json
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from stofm_pyg._files import locked, write_atomically
from stofm_pyg.corpus import Corpus, FeatureStore
from stofm_pyg.models import CellEncoder, JointModel, SToFM
from stofm_pyg.models.cell_encoder.cache import hash_tensors
from stofm_pyg.models.features import Features, TokenFeatures, load_features
from stofm_pyg.models.official import MASK
from stofm_pyg.nn import start_local
from stofm_pyg.train.objectives.pretraining import Pretraining
from stofm_pyg.train.pretraining.cell_encoder import prepare_cell_encoder
from stofm_pyg.train.pretraining.config import PretrainConfig, StageConfig
from stofm_pyg.train.pretraining.features import encode_corpus
from stofm_pyg.train.pretraining.objectives import OBJECTIVES, ObjectiveContext, make_objectives
from stofm_pyg.train.pretraining.run import CELLS, CHECKPOINTS, PretrainRun
from stofm_pyg.train.pretraining.stages import run_stage

if TYPE_CHECKING:
    from accelerate import Accelerator

logger = logging.getLogger(__name__)

CONFIG, ERRORS, RUN = "pretraining.json", "errors.json", "run.json"
# Of a model that is there.
WEIGHTS = "model.safetensors"
# Where bias functions begin if there is no radius, in the official unit.
OFFICIAL_REACH = 10.0
Objectives = Mapping[str, Callable[[ObjectiveContext], torch.nn.Module]]


def pretrain(
    corpus: Corpus,
    out: str | os.PathLike,
    config: PretrainConfig | None = None,
    *,
    model: SToFM | None = None,
    cell_encoder: CellEncoder | None = None,
    accelerator: Accelerator | None = None,
    device: str | torch.device = "auto",
    resume: bool = False,
    num_workers: int = 0,
    stop: Callable[[], bool] | None = None,
    objectives: Objectives = OBJECTIVES,
    progress: bool = True,
) -> dict[str, Any] | None:
    r"""Pre-trains a model on a corpus, as in the `"SToFM" <https://arxiv.org/abs/2507.11588>`_ paper:
    first the slice encoder on features as they are, then, where a cell encoder makes them, both.

    Of a corpus of tokens a cell encoder is adapted to it first, unless one is given. The folder of the
    run then holds the model as :meth:`SToFM.from_pretrained` reads it (:obj:`model.safetensors`), that
    of the first stage in :obj:`stage_1`, the configuration, errors on the slices held out, checkpoints
    and curves.

    Args:
        corpus (Corpus): The slices.
        out (str or PathLike): The folder of the run, which all processes share.
        config (PretrainConfig, optional): The configuration. (default: :obj:`None`)
        model (SToFM, optional): A model to go on from, *e.g.*, with official weights; its sizes count,
            not those of the configuration. (default: :obj:`None`)
        cell_encoder (CellEncoder, optional): An encoder for the vocabulary of the corpus.
            (default: :obj:`None`)
        accelerator (Accelerator, optional): Several processes, a GPU, or bf16.
            (default: :obj:`None`)
        device (str or torch.device, optional): Where to compute without an accelerator; :obj:`"auto"`
            is a GPU where there is one. (default: :obj:`"auto"`)
        resume (bool, optional): Go on from the newest checkpoint in the folder, if there is one, as if
            the run had never been broken off. (default: :obj:`False`)
        num_workers (int, optional): Processes that load regions. (default: :obj:`0`)
        stop (Callable, optional): Asked in every step whether to end after it, with a checkpoint; see
            :class:`Termination`. (default: :obj:`None`)
        objectives (Mapping, optional): The objectives that the configuration may name, each made from
            an :class:`ObjectiveContext`. (default: :obj:`OBJECTIVES`)
        progress (bool, optional): Show progress bars. (default: :obj:`True`)

    Returns:
        The errors on the slices held out, before and after each stage, beside those of simple guesses;
        :obj:`None` if the run was told to end before it was over.

    Raises:
        ValueError: The folder holds another run, or configuration, corpus, model and encoder do not fit.
        FloatingPointError: The loss was not finite; the last good step is kept.
    """
    features, store = None, None
    if corpus.features is not None:
        features = load_features(corpus.features)
        store = FeatureStore(corpus.settings, corpus.features / features.fingerprint()[:16])
    config = config or PretrainConfig()
    began_with = {}
    if model is not None:
        began_with["model"] = hash_tensors(model.state_dict(), {})
    if cell_encoder is not None:
        began_with["cell_encoder"] = cell_encoder.fingerprint()
    run = PretrainRun(
        corpus, config, Path(out).expanduser(), accelerator, num_workers, stop, resume, device,
        progress, began_with,
    )  # fmt: skip
    result = run_pretraining(run, features, store, model, cell_encoder, objectives)
    return None if result is None else result[1]


def run_pretraining(
    run: PretrainRun,
    features: Features | None = None,
    store: FeatureStore | None = None,
    model: SToFM | None = None,
    cell_encoder: CellEncoder | None = None,
    objectives: Objectives = OBJECTIVES,
) -> tuple[SToFM, dict[str, Any]] | None:
    r"""Runs all stages, see :meth:`pretrain`.

    Args:
        run (PretrainRun): The run.
        features (Features, optional): What made the features of the corpus; of tokens, it is made here.
            (default: :obj:`None`)
        store (FeatureStore, optional): What keeps them. (default: :obj:`None`)
        model (SToFM, optional): A model to go on from. (default: :obj:`None`)
        cell_encoder (CellEncoder, optional): The encoder of tokens. (default: :obj:`None`)
        objectives (Mapping, optional): The objectives that the configuration may name.
            (default: :obj:`OBJECTIVES`)

    Returns:
        The model and its errors on the slices held out; :obj:`None` if the run was told to end.

    Raises:
        OSError: Nothing can be written to the folder, or another process is at it.
    """
    with ExitStack() as stack:
        refused: OSError | None = None
        if run.first:
            try:
                stack.enter_context(locked(run.out))
            except OSError as error:
                refused = error
        if run.any(refused is not None):
            raise refused or OSError(f"The first process cannot write to '{run.out}'; see its message")
        return _run_stages(run, features, store, model, cell_encoder, objectives)


def _run_stages(
    run: PretrainRun,
    features: Features | None,
    store: FeatureStore | None,
    model: SToFM | None,
    cell_encoder: CellEncoder | None,
    objectives: Objectives,
) -> tuple[SToFM, dict[str, Any]] | None:
    config, corpus, out = run.config, run.corpus, run.out
    if len(corpus) == 0:
        raise ValueError("The corpus has no slice to train on; see what 'corpus build' said of files")
    if (out / WEIGHTS).exists() and not (out / RUN).exists():
        raise ValueError(f"'{out}' holds a model that no run made there; name another folder")
    if not run.resume and (any(out.glob(f"{CHECKPOINTS}/*/step-*.pt")) or (out / CONFIG).exists()):
        raise ValueError(
            f"'{out}' holds a run already; go on with '--resume auto', or name another folder"
        )
    _check_run(run)
    if corpus.settings.radius is None and (model is None or model.graph != "official"):
        raise ValueError(
            "The slices were made without a radius, which ties the cells that a model is trained on; "
            "make them with one"
        )
    if model is not None:
        _check_model(model, corpus, features, cell_encoder)
        model = copy.deepcopy(model)
        # What was learned from its embeddings does not hold for those to come.
        model.heads, model.found_domains = torch.nn.ModuleDict(), None
        cell_encoder = cell_encoder or model.cell_encoder
    _check_whole(run, store)
    logger.info("Trains on %s, holds out %s", run.train, ", ".join(run.held_out.names) or "none")
    run.wait()
    if run.first:
        out.mkdir(parents=True, exist_ok=True)
        config.save(out / CONFIG)
        text = json.dumps(run.marks(), indent=1) + "\n"
        write_atomically(out / RUN, lambda part: part.write_text(text, encoding="utf-8"))
    if features is None:
        encoder = prepare_cell_encoder(run, cell_encoder, scale=model is None)
        if encoder is None:
            return None
        features = _token_features(encoder, corpus, model, config)
        store = encode_corpus(
            features, corpus, None if corpus.directory is None else out / CELLS,
            share=run.share, device=run.device, progress=run.shown,
        )  # fmt: skip
        run.wait()
    encoder = getattr(features, "cell_encoder", None)
    if model is None:
        model = _model(config, features.num_features, corpus.settings.radius)
    model.features = None  # In training it is not a part of the slice encoder.

    errors: dict[str, Any] = {}
    heads: dict[str, torch.nn.Module] = {}
    for name, stage in (("stage_1", config.stage_1), ("stage_2", config.stage_2)):
        both = name == "stage_2"
        if stage.num_epochs == 0 or (both and encoder is None):
            continue
        module = _module(run, stage, model, encoder, both, objectives, heads, features)
        result, module = run_stage(name, run, stage, module, store, model.graph, tokens=both)
        if result is None:
            return None
        errors[name] = result
        heads = dict(module.objectives)
        model = module.model.model if both else module.model
        if both:
            encoder = module.model.cell_encoder
            features.cell_encoder = encoder
        if run.first and not both and encoder is not None and config.stage_2.num_epochs > 0:
            _finished(model, features, run.train, config).save_pretrained(out / name)
            model.features = None
    model = _finished(model, features, run.train, config)
    if run.first:
        model.save_pretrained(out)
        text = json.dumps(errors, indent=2) + "\n"
        write_atomically(out / ERRORS, lambda part: part.write_text(text, encoding="utf-8"))
    run.wait()
    return model.eval(), errors


def _check_run(run: PretrainRun):
    # Before anything of another run in the folder is written over.
    try:
        marks = json.loads((run.out / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    run.check(marks, run.out)


def _check_whole(run: PretrainRun, store: FeatureStore | None):
    # Training would take what has changed on the disk since it was written without a word.
    rank, number = run.share
    damaged = [f"'{path}'" for path in run.corpus.damaged(run.share)]
    if store is not None and store.directory is not None:
        mine = run.corpus.shards[rank::number]
        damaged += [f"the features of '{shard.name}'" for shard in mine if not store.has(shard)]
    if run.any(bool(damaged)):
        raise ValueError(
            f"The corpus is damaged: {', '.join(damaged) or 'see the other processes'}. Run 'corpus "
            f"build' again, which makes what is damaged or missing anew"
        )


def _check_model(
    model: SToFM, corpus: Corpus, features: Features | None, cell_encoder: CellEncoder | None
):
    wrong = corpus.settings.differences(model.settings)
    if wrong:
        raise ValueError(
            f"The slices were made in another way than those that the model was trained on: "
            f"{', '.join(wrong)}; make them with the settings of the model"
        )
    known = model.features
    maker = features or cell_encoder or model.cell_encoder
    if maker is None:
        raise ValueError(
            f"The model sees cells by {known}, the corpus holds tokens; build it with the features of "
            f"the model"
        )
    if features is not None and known is not None and known.fingerprint() != features.fingerprint():
        raise ValueError(
            f"The model sees cells by {known}, the corpus was built with {features}; build it with the "
            f"features of the model"
        )
    size = maker.num_features if isinstance(maker, Features) else maker.out_channels
    if size != model.mask_token.numel():
        raise ValueError(
            f"The model takes {model.mask_token.numel()} features a cell, {maker} makes {size}; take "
            f"those that were trained together"
        )


def _token_features(
    encoder: CellEncoder, corpus: Corpus, model: SToFM | None, config: PretrainConfig
) -> TokenFeatures:
    length = corpus.settings.max_length
    length = None if length >= encoder.max_length else length
    if model is not None and isinstance(model.features, TokenFeatures):
        known = model.features
        return TokenFeatures(encoder, corpus.vocab, known.standardize, known.orthologues, length)
    return TokenFeatures(encoder, corpus.vocab, config.standardize, corpus.orthologues, length)


def _model(config: PretrainConfig, in_channels: int, radius: float | None) -> SToFM:
    sizes = asdict(config.model)
    vector, local = sizes.pop("mask_vector"), sizes.pop("local_start")
    reach = OFFICIAL_REACH if radius is None else radius
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = SToFM(in_channels, **sizes, max_distance=reach)
    if local:
        start_local(model.encoder, reach)
    if vector not in ("learned", "official"):
        raise ValueError(f"Unknown 'model.mask_vector' '{vector}'; known: learned, official")
    if vector == "official":
        torch.nn.init.constant_(model.mask_token, MASK).requires_grad_(False)
    return model


def _module(
    run: PretrainRun,
    stage: StageConfig,
    model: SToFM,
    encoder: CellEncoder | None,
    both: bool,
    known: Objectives,
    heads: Mapping[str, torch.nn.Module],
    features: Features,
) -> Pretraining:
    # Heads that were trained in the stage before go on.
    vocab = None if encoder is None else run.corpus.vocab
    radius = run.corpus.settings.radius or OFFICIAL_REACH
    context = ObjectiveContext(model, encoder, vocab, run.train, radius, stage, both)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.config.seed)
        objectives = make_objectives(context, known)
    objectives = {name: heads.get(name, made) for name, made in objectives.items()}
    whole: torch.nn.Module = model
    if both:
        whole = JointModel(encoder, model, stage.max_tokens, stage.jitter, features.standardize)
        if encoder.gene_head is not None:
            encoder.gene_head.requires_grad_("mgm" in objectives)
    weights = {name: stage.objectives[name] for name in objectives}
    return Pretraining(whole, objectives, weights)


def _finished(model: SToFM, features: Features, corpus: Corpus, config: PretrainConfig) -> SToFM:
    model.features = features
    model.settings = corpus.settings
    model.read_out = config.read_out
    model.fitted_to = {"slices": len(corpus), "cells": corpus.num_cells}
    return model
