r"""Pre-trains a model on a corpus: masked cells and moved cells, in two stages.

Under 'torchrun -m stofm_pyg pretrain ...' it runs on all their processes. What was broken off goes on by
the same command."""

import argparse
import logging
import os
from dataclasses import replace
from datetime import timedelta

from stofm_pyg.commands.outputs import check_run, output_folder
from stofm_pyg.commands.run_options import (
    add_device,
    add_out,
    add_preset,
    add_resume,
    add_seed,
    add_workers,
    check_workers,
    given_path,
)
from stofm_pyg.commands.stop import Stop
from stofm_pyg.corpus import Corpus
from stofm_pyg.models import CellEncoder, SToFM
from stofm_pyg.train import PRESETS, PretrainConfig, find_device, pretrain

EXAMPLE = "stofm pretrain --corpus corpus --out run"

logger = logging.getLogger(__name__)

# The first process may adapt a cell encoder for long while the others wait.
LONGEST_WAIT = timedelta(days=7)


def add_arguments(parser: argparse.ArgumentParser):
    r"""Adds the arguments of the command."""
    add = parser.add_argument
    add("--corpus", required=True, type=given_path, metavar="DIR", help="what 'corpus build' made")
    add_out(parser, "DIR", "where the model, its checkpoints and its curves go")
    add_preset(parser, list(PRESETS))
    add("--cell-encoder", metavar="DIR", help="a folder that 'adapt' wrote; from scratch without")
    add("--model", metavar="MODEL", help="a saved model to go on from")
    add("--held-out", action="append", metavar="NAME", help="a slice that is not trained on; "
        "repeatable (the last one of the corpus without)")  # fmt: skip
    add_resume(parser)
    add_seed(parser, None)
    add_workers(parser, "processes that load regions")
    add_device(parser)
    add("--bf16", action="store_true", help="compute in bfloat16 where that is exact enough")


def run(args: argparse.Namespace) -> int:
    r"""Runs the command; under `torchrun` or `accelerate launch` on all their processes."""
    check_workers(args.workers)
    config = PRESETS[args.preset]
    if args.config is not None:
        config = PretrainConfig.read(args.config, config)
    if args.seed is not None:
        config = replace(config, seed=args.seed)
    if args.held_out is not None:
        config = replace(config, held_out=args.held_out)
    corpus = Corpus(args.corpus)
    out = output_folder(args.out)
    check_run(out, "auto")  # What 'never' forbids is looked for before any process writes.
    encoder = None
    if args.cell_encoder is not None:
        encoder = CellEncoder.from_pretrained(args.cell_encoder)
        encoder.check_vocab(corpus.vocab)
    model = None if args.model is None else SToFM.from_pretrained(args.model)
    accelerator = _accelerator(args)
    if accelerator is not None and not accelerator.is_main_process:
        logging.getLogger().setLevel(logging.ERROR)
    with Stop() as stop:
        errors = pretrain(
            corpus,
            out,
            config,
            model=model,
            cell_encoder=encoder,
            accelerator=accelerator,
            device=args.device,
            resume=args.resume == "auto",
            num_workers=args.workers,
            stop=stop,
        )
    if errors is None:
        logger.warning("Ended early: what is done is kept; the same command goes on from there")
        return stop.status
    for stage, parts in errors.items():
        for part, values in parts.items():
            shown = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
            logger.info("%s, %s: %s", stage, part, shown)
    logger.info("The model is in '%s'", out)
    return 0


def _accelerator(args: argparse.Namespace):
    # One process needs none, but for bf16.
    gpu = find_device(args.device).type == "cuda"
    if not (args.bf16 or int(os.environ.get("WORLD_SIZE", "1")) > 1):
        return None
    from accelerate import Accelerator, InitProcessGroupKwargs

    return Accelerator(
        cpu=not gpu,
        mixed_precision="bf16" if args.bf16 else "no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_WAIT)],
    )
