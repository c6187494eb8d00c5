r"""Draws what a file holds: domains on the tissue, embeddings, composition, attention and more.

Without --what, all is drawn that the file and the options have enough for, but for what takes long or an
extra."""

import argparse
import logging

from stofm_pyg.commands.outputs import output_file, output_folder
from stofm_pyg.commands.pictures import PICTURES, Drawn
from stofm_pyg.commands.run_options import add_out, add_overwrite, add_seed, given_path
from stofm_pyg.commands.slice_options import add_how, given_where, slice_settings
from stofm_pyg.data import Keys, read
from stofm_pyg.models import SToFM

EXAMPLE = "stofm plot domains.h5ad --out pictures --what domains,umap,composition"

FORMATS = ("png", "pdf", "svg")

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser):
    r"""Adds the arguments of the command."""
    add = parser.add_argument
    add("slices", metavar="FILE", help="what 'domains', 'embed' or 'predict' wrote")
    add_out(parser, "DIR", "where the pictures go, each called as in --what")
    add("--what", metavar="NAME,NAME ...", help=", ".join(PICTURES))
    add("--format", choices=FORMATS, default=FORMATS[0], help="of the pictures")
    add("--key", default=Keys.DOMAIN, metavar="NAME", help="the column of obs with the domains")
    add("--truth", metavar="NAME", help="the column of obs with the true classes")
    add("--prediction", metavar="NAME", help="the column that is compared with it; 'stofm_' and "
        "the name of the truth where there is one, else --key")  # fmt: skip
    add("--of", default="cell_type", metavar="NAME", help="the column of obs that composition shows")
    add("--model", metavar="MODEL", help="a saved model, for attention and pair; slices are then "
        "made as it takes them")  # fmt: skip
    add("--cell", type=int, metavar="N", help="the cell of attention and graph, as a row of the first "
        "slice; the one in the middle without")  # fmt: skip
    add("--run", type=given_path, metavar="DIR", help="the folder of a run, for curves")
    add_how(parser)
    add_overwrite(parser)
    add_seed(parser)


def run(args: argparse.Namespace) -> int:
    r"""Runs the command."""
    names = None if args.what is None else [name.strip() for name in args.what.split(",")]
    unknown = [name for name in names or () if name not in PICTURES]
    if unknown:
        raise ValueError(f"--what {unknown[0]}: there is no such picture; known: {', '.join(PICTURES)}")
    folder, given = output_folder(args.out), given_where(args)
    model = None if args.model is None else SToFM.from_pretrained(args.model)
    settings = slice_settings(args) if model is None else model.settings.replace(**given)
    drawn = Drawn(
        read(args.slices), settings, given, args.key, args.truth, args.prediction, args.of, model,
        args.run, args.cell, args.seed,
    )  # fmt: skip
    lacks = {name: picture.lacks(drawn) for name, picture in PICTURES.items()}
    if names is None:
        names = [name for name, picture in PICTURES.items() if picture.usual and lacks[name] is None]
        if not names:
            why = "; ".join(f"{name}: {lack}" for name, lack in lacks.items() if lack is not None)
            raise ValueError(
                f"'{args.slices}' has nothing to draw ({why}); find domains by 'stofm domains'"
            )
    cannot = [f"{name} ({lacks[name]})" for name in names if lacks[name] is not None]
    if cannot:
        raise ValueError(f"'{args.slices}' has not what it takes to draw {', '.join(cannot)}")
    endings = {name: PICTURES[name].ending or f".{args.format}" for name in names}
    paths = {
        name: output_file(folder / f"{name}{ending}", (), args.overwrite, (ending,))
        for name, ending in endings.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in paths.items():
        PICTURES[name].draw(drawn, path)
        logger.info("'%s'", path)
    return 0
