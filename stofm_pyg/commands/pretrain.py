r"""Pre-trains a model on a corpus: masked cells and moved cells, in two stages."""

import argparse
import logging
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from stofm_pyg.corpus import Corpus
from stofm_pyg.models import CellEncoder, SToFM
from stofm_pyg.train import EXIT_TERMINATED, PRESETS, PretrainConfig, Termination, find_device, pretrain

logger = logging.getLogger(__name__)

# The first process may adapt a cell encoder for long while the others wait.
LONGEST_WAIT = timedelta(days=7)


def add_arguments(parser: argparse.ArgumentParser):
    r"""Adds the arguments of the command."""
    add = parser.add_argument
    add("--corpus", required=True, type=Path, metavar="DIR", help="what 'corpus build' made")
    add("--out", required=True, type=Path, metavar="DIR", help="where the model and all else goes")
    add("--preset", choices=list(PRESETS), default="small", help="the size of model and training")
    add("--config", metavar="FILE", help="YAML or JSON: values other than the preset's")
    add("--cell-encoder", metavar="DIR", help="a folder that 'adapt' wrote; from scratch without")
    add("--model", metavar="DIR", help="a saved model to go on from")
    add("--held-out", action="append", metavar="NAME", help="a slice that is not trained on; "
        "repeatable (the last one of the corpus without)")  # fmt: skip
    add("--resume", choices=("auto", "never"), default="never", help="auto: go on from the newest "
        "checkpoint in --out, or begin where there is none")  # fmt: skip
    add("--seed", type=int, help="of all that is random; the configuration's without")
    add("--workers", type=int, default=1, metavar="N", help="processes that load regions")
    add("--device", default="auto", help="auto (GPUs, if there are any), cpu, cuda, cuda:1 ...")
    add("--bf16", action="store_true", help="compute in bfloat16 where that is exact enough")


def run(args: argparse.Namespace) -> int:
    r"""Runs the command; under `torchrun` or `accelerate launch` on all their processes."""
    if args.workers < 0:
        raise ValueError(f"--workers must not be negative (got {args.workers})")
    config = PRESETS[args.preset]
    if args.config is not None:
        config = PretrainConfig.read(args.config, config)
    if args.seed is not None:
        config = replace(config, seed=args.seed)
    if args.held_out is not None:
        config = replace(config, held_out=args.held_out)
    corpus = Corpus(args.corpus)
    encoder = None
    if args.cell_encoder is not None:
        encoder = CellEncoder.from_pretrained(args.cell_encoder)
        encoder.check_vocab(corpus.vocab)
    model = None if args.model is None else SToFM.from_pretrained(args.model)
    accelerator = _accelerator(args)
    if accelerator is not None and not accelerator.is_main_process:
        logging.getLogger().setLevel(logging.ERROR)
    with Termination() as stop:
        errors = pretrain(
            corpus,
            args.out,
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
        logger.warning("Told to end: what is done is kept; go on with '--resume auto'")
        return EXIT_TERMINATED
    for stage, parts in errors.items():
        for part, values in parts.items():
            shown = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
            logger.info("%s, %s: %s", stage, part, shown)
    logger.info("The model is in '%s'", args.out)
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
