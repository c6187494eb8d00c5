r"""The rows of a table: methods with their settings."""

import copy
import inspect
import logging
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.ablations import Ablation, ablations
from benchmarks.methods import ALL, CLASSIFIERS, DEFAULT, METHODS, SavedModel
from benchmarks.methods.stofm import SToFMFitted
from benchmarks.methods.unscaled import UnscaledFitted
from benchmarks.methods.with_neighbours import WithNeighbours
from benchmarks.names import names_in, split_names
from stofm_pyg._files import file_hash
from stofm_pyg.nn.conv_resolver import find_conv

log = logging.getLogger(__name__)

SE2 = "SE2TransformerConv"
# Rows that take an operator and features; what they begin with has a row of its own.
MODELS = ("stofm", "untrained")


@dataclass
class Row:
    r"""A row of the table.

    Args:
        method (Any): What embeds cells, see :obj:`benchmarks.methods`, or what a task takes.
        unseen (bool, optional): Whether the test slice is kept out of what it learns.
            (default: :obj:`False`)
        seeded (bool, optional): Whether it gives something else with another seed.
            (default: :obj:`True`)
        settings (dict, optional): Plain values that decide what it gives, beside data and seed: a row
            with others is not continued.
        base (Row, optional): The row whose embedding it makes more of, which is not trained twice.
            (default: :obj:`None`)
    """

    method: Any
    unseen: bool = False
    seeded: bool = True
    settings: dict[str, Any] = field(default_factory=dict)
    base: "Row | None" = None


def make_rows(args: Namespace) -> dict[str, Row]:
    r"""The rows by name. Each other operator gets rows beside the SE(2) layer's; a row of what learns
    comes again for slices that it has not seen, if that is asked for.

    Args:
        args (Namespace): The options of the command line.

    Raises:
        ValueError: A method or an operator is unknown.
        ImportError: A method that was asked for by name needs a package that is not installed.
    """
    out: dict[str, Row] = {}
    common = {"preset": args.preset, "device": args.device}
    variants = ablations(getattr(args, "ablate", None))
    asked = "stofm" if variants and args.method is None else args.method
    for name in method_names(asked):
        if name in CLASSIFIERS:  # Of the task that they go with.
            continue
        if name not in MODELS:
            row = _row_of(name, common, asked=asked not in (None, "all"))
            if row is not None:
                out[name] = row
            continue
        for called, config, features in _model_rows(name, args):
            method = METHODS[name](config=config, features=features, **common)
            told = {"method": name, "preset": args.preset, "config": config, "features": features}
            out[called] = Row(method, settings=told)
    for variant in variants.values():
        out[f"stofm, {variant.told}"] = _variant_row(variant, args.features, common)
    for item in getattr(args, "checkpoint", None) or ():
        name, row = _published_row(item, common)
        out[name] = row
    if args.model is not None:
        told = {"method": "model", "weights": _weights_hash(args.model)}
        out["model"] = Row(SavedModel(args.model), seeded=False, settings=told)
    return with_unseen(out) if args.unseen else out


def _variant_row(variant: Ablation, features: str, common: dict[str, Any]) -> Row:
    config = {"model": {}} | copy.deepcopy(dict(variant.config))
    config["model"] = {"conv": SE2} | config["model"]
    kwargs = {"features": features} | dict(variant.fit)
    kind = SToFMFitted if variant.scale else UnscaledFitted
    told = {"method": "stofm", "preset": common["preset"], "config": config, **kwargs}
    told |= {"scale": variant.scale, "variant_of": "stofm"}
    return Row(kind(config=config, **common, **kwargs), settings=told)


def classifier_rows(args: Namespace) -> dict[str, Row]:
    r"""The rows of what has a head of its own: those that are asked for by name; where no method is
    named, nor variants of one, all of them.

    Args:
        args (Namespace): The options of the command line.
    """
    asked = () if args.ablate or args.unseen else CLASSIFIERS
    if args.method not in (None, "all"):
        asked = [name for name in method_names(args.method) if name in CLASSIFIERS]
    out: dict[str, Row] = {}
    for name in asked:
        told = {"method": f"stofm, {name}", "preset": args.preset}
        method = CLASSIFIERS[name](preset=args.preset, device=args.device)
        out[told["method"]] = Row(method, settings=told)
    return with_unseen(out) if args.unseen else out


def with_unseen(rows: dict[str, Row]) -> dict[str, Row]:
    r"""Puts a row beside each of what learns, for slices that it has not seen."""
    out: dict[str, Row] = {}
    for name, row in rows.items():
        out[name] = row
        if getattr(row.method, "learns", False):
            told = row.settings | {"unseen": True}
            if "variant_of" in told:
                told["variant_of"] = f"{told['variant_of']} (unseen)"
            out[f"{name} (unseen)"] = Row(row.method, True, row.seeded, told, row.base)
    return out


def method_names(asked: str | None) -> list[str]:
    r"""The names of methods that are asked for: of a list with commas, :obj:`"all"`, or the default.

    Raises:
        ValueError: One is unknown.
    """
    if asked is None:
        return list(DEFAULT)
    if asked == "all":
        return list(ALL)
    return names_in(asked, [*METHODS, *CLASSIFIERS], "method")


def _row_of(name: str, common: dict, asked: bool) -> Row | None:
    factory = METHODS[name]
    options = {key: value for key, value in common.items() if key in _parameters(factory)}
    try:
        method = factory(**options)
    except ImportError as error:
        if asked:
            raise
        log.warning("Row '%s' is left out: %s", name, error)
        return None
    told = {"method": name, **{key: value for key, value in options.items() if key != "device"}}
    base = None
    if isinstance(method, WithNeighbours):
        base = Row(method.method, settings=told | {"method": name.removesuffix("+neighbours")})
    return Row(method, seeded=getattr(method, "seeded", False), settings=told, base=base)


def _parameters(factory: Callable) -> list[str]:
    return list(inspect.signature(factory).parameters)


def _model_rows(name: str, args: Namespace):
    kinds = split_names(args.features)
    for conv, told_conv in _convs(args.conv).items():
        for kind in kinds:
            told = [told_conv] * (conv != SE2) + [kind] * (len(kinds) > 1)
            called = f"{name} ({', '.join(told)})" if told else name
            yield called, {"model": {"conv": conv}}, kind


def _convs(asked: str) -> dict[str, str]:
    # Operators as they were given, and what their rows are called: without the file, if that will do.
    names = [SE2] + [name for name in split_names(asked) if find_conv(name) is not find_conv(SE2)]
    short = [name.rpartition(":")[2] for name in names]
    told = [s if short.count(s) == 1 else n for s, n in zip(short, names, strict=True)]
    return dict(zip(names, told, strict=True))


def _published_row(item: str, common: dict[str, Any]) -> tuple[str, Row]:
    name, _, folder = item.partition("=")
    if name not in METHODS or "checkpoint" not in _parameters(METHODS[name]):
        known = [key for key, value in METHODS.items() if "checkpoint" in _parameters(value)]
        raise ValueError(f"--checkpoint {item}: write NAME=DIR, where NAME is one of {', '.join(known)}")
    files = sorted(path for path in Path(folder).expanduser().rglob("*") if path.is_file())
    if not folder or not files:
        raise ValueError(f"--checkpoint {item}: there is no folder of weights '{folder}'")
    told = {"method": name, "checkpoint": {path.name: file_hash(path) for path in files}}
    row = Row(METHODS[name](checkpoint=folder, **common), seeded=False, settings=told)
    return f"{name} (published)", row


def _weights_hash(directory: str) -> str | None:
    path = Path(directory) / "model.safetensors"
    return file_hash(path) if path.is_file() else None
