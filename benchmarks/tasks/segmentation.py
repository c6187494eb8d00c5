r"""Tissue-domain segmentation: a head on frozen embeddings names the domain of each cell."""

import time
from argparse import Namespace
from dataclasses import asdict

import numpy as np
import torch
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from benchmarks.device import find_device
from benchmarks.evaluator import Evaluator
from benchmarks.head import predict_folds
from benchmarks.methods import METHODS
from benchmarks.presets import PRESETS
from benchmarks.report import Report
from benchmarks.splits import cell_labels, make_folds
from stofm_pyg.datasets import H5adSlices, SyntheticTissue
from stofm_pyg.nn.conv_resolver import find_conv

RADIUS = 8.0
SE2 = "SE2TransformerConv"


def run(args: Namespace) -> int:
    r"""Runs the task as the command line says; returns the exit status."""
    preset = PRESETS[args.preset]
    device = find_device(args.device)
    methods = make_methods(args.method, args.conv, preset, device)
    if args.runs < 1:
        raise ValueError(f"--runs must be at least 1 (got {args.runs})")
    report = Report(args.out)

    slices = load_slices(args, preset)
    labelled = sum((cell_labels(data, args.label) >= 0).any() for data in slices)
    split = args.split or ("cross" if labelled > 1 else "blocks")
    classes = slices[0].classes[args.label]
    check_labels(slices, args.label, classes)
    make_folds(split, slices, args.label, args.seed)  # What cannot be split fails before any work.
    report.start(
        task="segmentation",
        data=[str(file) for file in args.data] if args.data else "SyntheticTissue",
        label=args.label,
        split=split,
        methods=list(methods),
        conv=args.conv,
        seed=args.seed,
        runs=args.runs,
        preset={"name": args.preset, "radius": RADIUS, **asdict(preset)},
        device=str(device),
        slices=[{"name": data.name, "cells": int((data.cell_id >= 0).sum())} for data in slices],
    )

    interrupted = False
    work = args.runs * sum(method.work(slices) for method in methods.values())
    with logging_redirect_tqdm(), tqdm(total=work, desc="segmentation", unit="step") as bar:
        try:
            for seed in range(args.seed, args.seed + args.runs):
                for name, method in methods.items():
                    bar.set_description(f"{name}, seed {seed}")
                    one_run(report, name, method, slices, args.label, classes, split, seed, bar)
        except KeyboardInterrupt:
            interrupted = True
    print(report.finish(interrupted=interrupted))
    return 130 if interrupted else 0


def one_run(report, name, method, slices, label, classes, split, seed, bar):
    r"""One method with one seed: embeds, predicts every fold, scores every slice."""
    before = time.perf_counter()
    with report.tensorboard(name, seed) as writer:
        embeddings = method.embed(slices, seed, bar.update, writer)
        embedded = time.perf_counter()
        folds = make_folds(split, slices, label, seed)
        predictions = predict_folds(slices, label, embeddings, folds, classes)

        evaluator, scores = Evaluator(classes), {}
        confusion = np.zeros((len(classes), len(classes)), dtype=int)
        for data, prediction in zip(slices, predictions, strict=True):
            scored = prediction >= 0
            if scored.any():
                truth = cell_labels(data, label)[scored]
                scores[data.name] = evaluator.eval(truth, prediction[scored])
                confusion += evaluator.confusion(truth, prediction[scored])
        for metric in evaluator.metrics:
            writer.add_scalar(metric, np.mean([score[metric] for score in scores.values()]), seed)
    report.add(
        name,
        seed,
        scores,
        confusion,
        seconds={"embed": embedded - before, "head": time.perf_counter() - embedded},
    )
    report.pictures(name, seed, slices, label, classes, predictions, confusion)


def make_methods(names: str, conv: str, preset, device: torch.device) -> dict:
    r"""The methods by the name of their row; another operator gets a row beside the SE(2) layer's."""
    out = {}
    for name in dict.fromkeys(part.strip() for part in names.split(",")):
        if name not in METHODS:
            raise ValueError(f"Unknown method '{name}'; known: {', '.join(METHODS)}")
        if name != "stofm":
            out[name] = METHODS[name]()
            continue
        out[name] = METHODS[name](preset, SE2, RADIUS, device)
        if find_conv(conv) is not find_conv(SE2):
            out[f"stofm ({conv})"] = METHODS[name](preset, conv, RADIUS, device)
    return out


def load_slices(args: Namespace, preset) -> list:
    r"""The slices to segment, with their graphs, virtual cells and labels."""
    kwargs = {"labels": (args.label,), "radius": RADIUS, "seed": args.seed}
    if args.data:
        return list(H5adSlices(args.data, slice_key=args.slice_key, **kwargs))
    return list(
        SyntheticTissue(
            num_slices=preset.num_slices, cells_per_slice=preset.cells_per_slice, **kwargs
        )
    )


def check_labels(slices, label: str, classes: list[str]):
    r"""Raises if there are not two classes to tell apart."""
    present = np.unique(np.concatenate([cell_labels(data, label) for data in slices]))
    present = present[present >= 0]
    if present.size < 2:
        found = ", ".join(f"'{classes[c]}'" for c in present) or "no known label"
        raise ValueError(f"--label {label} needs at least two classes (found {found})")
