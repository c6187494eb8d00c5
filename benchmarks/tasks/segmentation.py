r"""Tissue-domain segmentation: a head on frozen embeddings names the domain of each cell."""

import time
from argparse import Namespace
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from benchmarks.data import BenchmarkData
from benchmarks.evaluator import Evaluator
from benchmarks.head import predict_folds
from benchmarks.methods import METHODS, SavedModel
from benchmarks.report import Report
from benchmarks.splits import cell_labels, make_folds
from stofm_pyg.data import SliceSettings
from stofm_pyg.nn.conv_resolver import find_conv
from stofm_pyg.train import find_device

SE2 = "SE2TransformerConv"
MODELS = ("stofm", "untrained")


@dataclass
class Row:
    r"""A row of the table: a method, and whether the test slice is kept out of what it learns."""

    method: Any
    unseen: bool = False
    seeded: bool = True


def run(args: Namespace) -> int:
    r"""Runs the task as the command line says; returns the exit status."""
    rows = make_rows(args)
    if args.runs < 1:
        raise ValueError(f"--runs must be at least 1 (got {args.runs})")
    report = Report(args.out)
    settings = SliceSettings(slice_key=args.slice_key, layer=args.layer, seed=args.seed)
    data = BenchmarkData(args.data, args.label, settings, args.preset, args.missing_genes)
    slices = data.slices
    labelled = sum((cell_labels(item, args.label) >= 0).any() for item in slices)
    split = args.split or ("cross" if labelled > 1 else "blocks")
    check_labels(slices, args.label, data.classes)
    make_folds(split, slices, args.label, args.seed)  # What cannot be split fails before any work.
    if args.unseen and split != "cross":
        raise ValueError(f"--unseen keeps test slices out; it goes with --split cross, not {split}")
    report.start(
        task="segmentation",
        data=[str(file) for file in args.data] if args.data else "SyntheticTissue",
        label=args.label,
        split=split,
        methods=list(rows),
        conv=args.conv,
        features=args.features,
        missing_genes=args.missing_genes,
        model=args.model,
        seed=args.seed,
        runs=args.runs,
        preset=args.preset,
        settings=settings.to_dict(),
        device=str(find_device(args.device)),
        slices=[{"name": item.name, "cells": int((item.cell_id >= 0).sum())} for item in slices],
    )
    interrupted = False
    seeds = range(args.seed, args.seed + args.runs)
    work = [(seed, name) for seed in seeds for name in rows]
    with logging_redirect_tqdm(), tqdm(work, "segmentation", unit="row") as bar:
        try:
            for seed, name in bar:
                row = rows[name]
                bar.set_description(f"{name}, seed {seed}")
                if seed == args.seed or row.seeded or split != "cross":
                    one_run(report, name, row, data, split, seed)
        except KeyboardInterrupt:
            interrupted = True
    print(report.finish(interrupted=interrupted))
    return 130 if interrupted else 0


def one_run(report: Report, name: str, row: Row, data: BenchmarkData, split: str, seed: int):
    r"""One row with one seed: embeds, predicts every fold, scores every slice."""
    slices, label, classes = data.slices, data.label, data.classes
    before = time.perf_counter()
    folds = make_folds(split, slices, label, seed)
    seconds = {"embed": 0.0, "head": 0.0}
    predictions = [np.full(cell_labels(item, label).size, -1) for item in slices]
    groups = [[fold] for fold in folds] if row.unseen else [folds]
    for group in groups:
        before = time.perf_counter()
        embeddings = row.method.embed(data, seed, group[0].slice if row.unseen else None)
        embedded = time.perf_counter()
        found = predict_folds(slices, label, embeddings, group, classes)
        for number, part in enumerate(found):
            predictions[number][part >= 0] = part[part >= 0]
        seconds["embed"] += embedded - before
        seconds["head"] += time.perf_counter() - embedded

    evaluator, scores = Evaluator(classes), {}
    confusion = np.zeros((len(classes), len(classes)), dtype=int)
    for item, prediction in zip(slices, predictions, strict=True):
        scored = prediction >= 0
        if scored.any():
            truth = cell_labels(item, label)[scored]
            scores[item.name] = evaluator.eval(truth, prediction[scored])
            confusion += evaluator.confusion(truth, prediction[scored])
    report.add(name, seed, scores, confusion, seconds)
    report.pictures(name, seed, slices, label, classes, predictions, confusion)


def make_rows(args: Namespace) -> dict[str, Row]:
    r"""The rows by name. Another operator gets rows beside the SE(2) layer's; a row of what learns comes
    again for slices that it has not seen, if that is asked for."""
    out: dict[str, Row] = {}
    common = {"preset": args.preset, "device": args.device}
    for name in dict.fromkeys(part.strip() for part in args.method.split(",")):
        if name not in METHODS:
            raise ValueError(f"Unknown method '{name}'; known: {', '.join(METHODS)}")
        if name == "stofm-pretrained":
            out[name] = Row(METHODS[name](**common))
            continue
        if name not in MODELS:
            out[name] = Row(METHODS[name](), seeded=False)
            continue
        kinds = list(dict.fromkeys(part.strip() for part in args.features.split(",")))
        for conv in [SE2] + ([args.conv] if find_conv(args.conv) is not find_conv(SE2) else []):
            for kind in kinds:
                told = ([] if conv == SE2 else [conv]) + ([kind] if len(kinds) > 1 else [])
                called = f"{name} ({', '.join(told)})" if told else name
                config = {"model": {"conv": conv}}
                out[called] = Row(METHODS[name](config=config, features=kind, **common))
    if args.model is not None:
        out["model"] = Row(SavedModel(args.model), seeded=False)
    if args.unseen:
        out = {
            called: item
            for name, row in out.items()
            for called, item in [(name, row), (f"{name} (unseen)", Row(row.method, True, row.seeded))]
            if not item.unseen or row.method.learns
        }
    return out


def check_labels(slices, label: str, classes: list[str]):
    r"""Raises if there are not two classes to tell apart."""
    present = np.unique(np.concatenate([cell_labels(data, label) for data in slices]))
    present = present[present >= 0]
    if present.size < 2:
        found = ", ".join(f"'{classes[c]}'" for c in present) or "no known label"
        raise ValueError(f"--label {label} needs at least two classes (found {found})")
