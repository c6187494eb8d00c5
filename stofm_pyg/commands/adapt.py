r"""Adapts a cell encoder to slices, by masked gene modelling and a contrastive loss.

What was broken off goes on by the same command."""

import argparse
import json
import logging
from dataclasses import asdict
from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from stofm_pyg import __version__
from stofm_pyg._files import write_atomically
from stofm_pyg.commands.encoder_to_adapt import encoder_to_adapt
from stofm_pyg.commands.outputs import check_run, output_folder
from stofm_pyg.commands.read_cells import read_cells, read_vocab
from stofm_pyg.commands.run_options import add_device, add_out, add_resume, add_seed
from stofm_pyg.commands.slice_options import add_slices, slice_files
from stofm_pyg.commands.stop import Stop
from stofm_pyg.train import PRESETS, AdaptationSettings, adapt_cell_encoder, find_device

EXAMPLE = "stofm adapt brain.h5ad --vocab Geneformer/geneformer --out my_encoder"

logger = logging.getLogger(__name__)

CHECKPOINTS, CURVES = "checkpoints", "tensorboard"


def add_arguments(parser: argparse.ArgumentParser):
    r"""Adds the arguments of the command."""
    default = AdaptationSettings()
    add = parser.add_argument
    add_slices(parser, "cells with raw counts")
    add("--vocab", required=True, metavar="DIR|FILE|slices", help="Geneformer's tables (a folder or "
        "hub id), a saved vocabulary, or 'slices' to make one of the slices")  # fmt: skip
    add_out(parser, "DIR", "where the encoder, its checkpoints and its curves go")
    add("--init", default="scratch", metavar="DIR|HUB_ID|scratch", help="what to begin with: the "
        "folder or hub id of a Geneformer, the folder of an adapted encoder, or scratch")  # fmt: skip
    add("--preset", choices=list(PRESETS), default="small", help="the size of an encoder from scratch")
    add("--steps", type=int, default=default.num_steps, metavar="N", help="the number of steps")
    add("--max-tokens", type=int, default=default.max_tokens, metavar="N", help="tokens of a step")
    add("--lr", type=float, default=default.lr, metavar="X", help="the peak learning rate")
    add(
        "--mask-rate",
        type=float,
        default=default.mask_rate,
        metavar="X",
        help="the share of genes that are masked",
    )
    add(
        "--min-share",
        type=float,
        default=default.min_share,
        metavar="X",
        help="the least genes that a view keeps",
    )
    add(
        "--temperature",
        type=float,
        default=default.temperature,
        metavar="X",
        help="of the contrastive loss",
    )
    add(
        "--mgm-weight",
        type=float,
        default=default.mgm_weight,
        metavar="X",
        help="of masked gene modelling",
    )
    add("--contrastive-weight", type=float, default=default.contrastive_weight, metavar="X",
        help="of the contrastive loss; 0 leaves it out")  # fmt: skip
    add("--full-softmax", action="store_true",
        help="predict among all genes of the vocabulary, not those of the slices alone")  # fmt: skip
    add("--layer", metavar="NAME", help="the layer of the raw counts, if they are not in X")
    add("--orthologues", metavar="FILE", help="mouse genes and their human genes")
    add("--save-every", type=int, default=100, metavar="N", help="steps between checkpoints")
    add_resume(parser)
    add_seed(parser, default.seed)
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    r"""Runs the command."""
    settings = _settings(args)
    device = find_device(args.device)
    slices = [str(source) for source in slice_files(args.slices)]
    out = output_folder(args.out)
    check_run(out, args.resume)
    vocab = read_vocab(args.vocab, slices, args.layer)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(args.seed)
        encoder = encoder_to_adapt(args.init, args.preset, vocab, args.seed).to(device)
        cells = read_cells(slices, vocab, encoder.max_length, args.layer, args.orthologues)
        logger.info("%s, %s", encoder, cells)
        out.mkdir(parents=True, exist_ok=True)
        vocab.save(out / "vocab.json")
        with Stop() as stop:
            result = _train(out, encoder, cells, vocab, settings, args.save_every, stop)
    if result.stopped:
        logger.warning("Ended early: what is done is kept; the same command goes on from there")
        return stop.status
    encoder.save_pretrained(out)
    _write_config(args, slices, settings, vocab, result.held_out_accuracy)
    logger.info(
        "Held-out masked-gene accuracy %.4f; the encoder is in '%s'", result.held_out_accuracy, out
    )
    return 0


def _train(out: Path, encoder, cells, vocab, settings, save_every: int, stop: Stop):
    # What was written after the checkpoint by the run that broke off is purged from the curves.
    writer = None
    with tqdm(total=settings.num_steps, desc="adapt", unit="step") as bar:

        def on_step(step: int, scalars: dict[str, float]):
            nonlocal writer
            if writer is None:
                writer = SummaryWriter(str(out / CURVES), purge_step=step)
            for name, value in scalars.items():
                writer.add_scalar(f"adapt/{name}", value, step)
            bar.update(step - bar.n)
            bar.set_postfix(loss=f"{scalars['loss']:.3f}", accuracy=f"{scalars['accuracy']:.3f}")

        try:
            return adapt_cell_encoder(
                encoder,
                cells,
                vocab,
                settings,
                checkpoints=out / CHECKPOINTS,
                save_every=save_every,
                on_step=on_step,
                stop=stop,
            )
        finally:
            if writer is not None:
                writer.close()


def _settings(args: argparse.Namespace) -> AdaptationSettings:
    if args.steps < 1 or args.max_tokens < 1 or args.save_every < 1:
        raise ValueError(
            f"--steps, --max-tokens and --save-every must be at least 1 (got {args.steps}, "
            f"{args.max_tokens} and {args.save_every})"
        )
    return AdaptationSettings(
        num_steps=args.steps,
        max_tokens=args.max_tokens,
        lr=args.lr,
        mask_rate=args.mask_rate,
        min_share=args.min_share,
        temperature=args.temperature,
        mgm_weight=args.mgm_weight,
        contrastive_weight=args.contrastive_weight,
        full_softmax=args.full_softmax,
        seed=args.seed,
    )


def _write_config(args, slices: list[str], settings: AdaptationSettings, vocab, accuracy: float):
    config = {
        "slices": slices,
        "layer": args.layer,
        "vocab": vocab.fingerprint,
        "init": args.init,
        "preset": args.preset if args.init == "scratch" else None,
        "settings": asdict(settings),
        "held_out_accuracy": accuracy,
        "versions": {"stofm_pyg": __version__, "torch": torch.__version__},
    }
    text = json.dumps(config, indent=2) + "\n"
    write_atomically(args.out / "config.json", lambda part: part.write_text(text, encoding="utf-8"))
