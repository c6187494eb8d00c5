r"""Adapts a cell encoder to slices, by masked gene modelling and a contrastive loss."""

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
from stofm_pyg.commands.read_cells import read_cells, read_vocab
from stofm_pyg.train import PRESETS, AdaptationSettings, adapt_cell_encoder

logger = logging.getLogger(__name__)

CHECKPOINTS, CURVES = "checkpoints", "tensorboard"


def add_arguments(parser: argparse.ArgumentParser):
    r"""Adds the arguments of the command."""
    default = AdaptationSettings()
    add = parser.add_argument
    add("slices", nargs="+", metavar="SLICE.h5ad", help="raw counts, cells by genes")
    add("--vocab", required=True, metavar="DIR|FILE|slices", help="Geneformer's tables (a folder or "
        "hub id), a saved vocabulary, or 'slices' to make one of the slices")  # fmt: skip
    add("--out", required=True, type=Path, metavar="DIR", help="where the encoder goes")
    add("--init", default="scratch", metavar="DIR|HUB_ID|scratch", help="what to begin with: the "
        "folder or hub id of a Geneformer, the folder of an adapted encoder, or scratch")  # fmt: skip
    add("--preset", choices=list(PRESETS), default="small", help="the size of an encoder from scratch")
    add("--steps", type=int, default=default.num_steps, help="the number of steps")
    add("--max-tokens", type=int, default=default.max_tokens, help="tokens of a step")
    add("--lr", type=float, default=default.lr, help="the peak learning rate")
    add("--mask-rate", type=float, default=default.mask_rate, help="the share of genes that are masked")
    add("--min-share", type=float, default=default.min_share, help="the least genes that a view keeps")
    add("--temperature", type=float, default=default.temperature, help="of the contrastive loss")
    add("--mgm-weight", type=float, default=default.mgm_weight, help="of masked gene modelling")
    add("--contrastive-weight", type=float, default=default.contrastive_weight,
        help="of the contrastive loss; 0 leaves it out")  # fmt: skip
    add("--full-softmax", action="store_true",
        help="predict among all genes of the vocabulary, not those of the slices alone")  # fmt: skip
    add("--layer", help="the layer of the raw counts, if they are not in X")
    add("--orthologues", metavar="FILE", help="mouse genes and their human genes")
    add("--save-every", type=int, default=100, help="steps between checkpoints")
    add("--resume", choices=("auto", "never"), default="never", help="auto: go on from the newest "
        "checkpoint in --out, or begin where there is none")  # fmt: skip
    add("--seed", type=int, default=default.seed, help="of all that is random")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")


def run(args: argparse.Namespace) -> int:
    r"""Runs the command."""
    settings = _settings(args)
    device = _device(args.device)
    checkpoints = args.out / CHECKPOINTS
    if args.resume == "never" and any(checkpoints.glob("step-*.pt")):
        raise ValueError(
            f"'{args.out}' holds the checkpoints of a run already; go on with '--resume auto', or name "
            f"another folder by --out"
        )
    vocab = read_vocab(args.vocab, args.slices, args.layer)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(args.seed)
        encoder = encoder_to_adapt(args.init, args.preset, vocab, args.seed).to(device)
        cells = read_cells(args.slices, vocab, encoder.max_length, args.layer, args.orthologues)
        logger.info("%s, %s", encoder, cells)
        args.out.mkdir(parents=True, exist_ok=True)
        vocab.save(args.out / "vocab.json")
        result = _train(args, encoder, cells, vocab, settings, checkpoints)
    encoder.save_pretrained(args.out)
    _write_config(args, settings, vocab, result.held_out_accuracy)
    logger.info(
        "Held-out masked-gene accuracy %.4f; the encoder is in '%s'", result.held_out_accuracy, args.out
    )
    return 0


def _train(args, encoder, cells, vocab, settings, checkpoints):
    # What was written after the checkpoint by the run that broke off is purged from the curves.
    writer = None
    with tqdm(total=settings.num_steps, desc="adapt", unit="step") as bar:

        def on_step(step: int, scalars: dict[str, float]):
            nonlocal writer
            if writer is None:
                writer = SummaryWriter(str(args.out / CURVES), purge_step=step)
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
                checkpoints=checkpoints,
                save_every=args.save_every,
                on_step=on_step,
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


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"--device {name} is none; use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"--device {name}: torch finds no GPU here; use --device cpu")
    return device


def _write_config(args, settings: AdaptationSettings, vocab, accuracy: float):
    config = {
        "slices": [str(path) for path in args.slices],
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
