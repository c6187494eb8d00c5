r"""Trains a model on slices, without labels, and writes it to a folder.

Raw counts and positions are all it takes. What was broken off goes on by the same command."""

import argparse
import logging
from pathlib import Path

from stofm_pyg.commands.outputs import check_run, output_folder
from stofm_pyg.commands.read_cells import read_vocab
from stofm_pyg.commands.run_options import (
    add_device,
    add_out,
    add_preset,
    add_resume,
    add_seed,
    add_workers,
    check_workers,
)
from stofm_pyg.commands.slice_options import (
    add_how,
    add_slices,
    model_settings,
    slice_files,
    slice_settings,
)
from stofm_pyg.commands.stop import Stop
from stofm_pyg.models import CellEncoder, SToFM
from stofm_pyg.train import PRESETS, PretrainConfig, fit

EXAMPLE = "stofm fit brain.h5ad --slice-key section --out my_model"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser):
    r"""Adds the arguments of the command."""
    add = parser.add_argument
    add_slices(parser, "what is trained on")
    add_out(parser, "DIR", "where the model, its checkpoints and its curves go")
    add("--features", default="auto", metavar="NAME", help="what the model sees of a cell: pca, tokens, "
        "or a key in obsm; auto: tokens with --cell-encoder or --vocab, else pca")  # fmt: skip
    add("--cell-encoder", metavar="DIR", help="a folder that 'adapt' wrote")
    add("--vocab", metavar="DIR|FILE|slices", help="the vocabulary of tokens")
    add("--model", metavar="MODEL", help="a saved model to go on from")
    add_preset(parser, list(PRESETS))
    add_how(parser)
    add_resume(parser)
    add_seed(parser, None)
    add_workers(parser, "processes that make regions")
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    r"""Runs the command."""
    check_workers(args.workers)
    config = PRESETS[args.preset]
    if args.config is not None:
        config = PretrainConfig.read(args.config, config)
    files = [str(file) for file in slice_files(args.slices)]
    out = output_folder(args.out)
    check_run(out, args.resume)
    vocab_name, encoder = args.vocab, None
    if args.cell_encoder is not None:
        encoder = CellEncoder.from_pretrained(args.cell_encoder)
        vocab_name = vocab_name or str(Path(args.cell_encoder) / "vocab.json")
    vocab = None if vocab_name is None else read_vocab(vocab_name, files, args.layer)
    model = None if args.model is None else SToFM.from_pretrained(args.model)
    if model is not None:
        settings = model_settings(model, args)
    else:
        settings = slice_settings(args, seed=args.seed or 0)
    with Stop() as stop:
        try:
            fit(
                files,
                features=args.features,
                config=config,
                settings=settings,
                model=model,
                cell_encoder=encoder,
                vocab=vocab,
                out=out,
                seed=args.seed,
                device=args.device,
                num_workers=args.workers,
                stop=stop,
            )
        except KeyboardInterrupt:
            logger.warning("Ended early: what is done is kept; the same command goes on from there")
            return stop.status
    logger.info("The model is in '%s'", out)
    return 0
