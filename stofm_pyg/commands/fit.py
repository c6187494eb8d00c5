r"""Trains a model on slices, without labels, and writes it to a folder."""

import argparse
import logging
from pathlib import Path

from stofm_pyg.commands.read_cells import read_vocab
from stofm_pyg.commands.slice_options import add_how, given_where, slice_files, slice_settings
from stofm_pyg.models import CellEncoder, SToFM
from stofm_pyg.train import EXIT_TERMINATED, PRESETS, PretrainConfig, Termination, fit

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser):
    r"""Adds the arguments of the command."""
    add = parser.add_argument
    add("slices", nargs="+", metavar="SLICES", help="h5ad files of raw counts, or folders of them")
    add("--out", required=True, type=Path, metavar="DIR", help="where the model and all else goes; "
        "what was broken off there goes on")  # fmt: skip
    add("--features", default="auto", metavar="NAME", help="what the model sees of a cell: pca, tokens, "
        "or a key in obsm; auto: tokens with --cell-encoder or --vocab, else pca")  # fmt: skip
    add("--cell-encoder", metavar="DIR", help="a folder that 'adapt' wrote")
    add("--vocab", metavar="DIR|FILE|slices", help="the vocabulary of tokens")
    add("--model", metavar="DIR", help="a saved model to go on from")
    add("--preset", choices=list(PRESETS), default="small", help="the size of model and training")
    add("--config", metavar="FILE", help="YAML or JSON: values other than the preset's")
    add_how(parser)
    add("--seed", type=int, help="of all that is random; the configuration's without")
    add("--workers", type=int, default=1, metavar="N", help="processes that make regions")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")


def run(args: argparse.Namespace) -> int:
    r"""Runs the command."""
    config = PRESETS[args.preset]
    if args.config is not None:
        config = PretrainConfig.read(args.config, config)
    files = [str(file) for file in slice_files(args.slices)]
    vocab_name, encoder = args.vocab, None
    if args.cell_encoder is not None:
        encoder = CellEncoder.from_pretrained(args.cell_encoder)
        vocab_name = vocab_name or str(Path(args.cell_encoder) / "vocab.json")
    vocab = None if vocab_name is None else read_vocab(vocab_name, files, args.layer)
    model = None if args.model is None else SToFM.from_pretrained(args.model)
    if model is not None:
        settings = model.settings.replace(**given_where(args))
    else:
        settings = slice_settings(args, seed=args.seed or 0)
    with Termination(interrupts=True) as stop:
        try:
            fit(
                files,
                features=args.features,
                config=config,
                settings=settings,
                model=model,
                cell_encoder=encoder,
                vocab=vocab,
                out=args.out,
                seed=args.seed,
                device=args.device,
                num_workers=args.workers,
                stop=stop,
            )
        except KeyboardInterrupt as interrupt:
            logger.warning("%s", interrupt)
            return EXIT_TERMINATED
    logger.info("The model is in '%s'", args.out)
    return 0
