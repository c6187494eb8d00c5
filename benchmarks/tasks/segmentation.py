r"""Tissue-domain segmentation: a head on frozen embeddings names the domain of each cell."""

import time
from argparse import Namespace
from dataclasses import asdict
from typing import Any, NamedTuple

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
from benchmarks.slice_source import SliceSource
from benchmarks.splits import cell_labels, make_folds
from benchmarks.token_features import TokenFeatures
from stofm_pyg.nn.conv_resolver import find_conv

RADIUS = 8.0
SE2 = "SE2TransformerConv"
FEATURES = ("tokens", "pca")


def run(args: Namespace) -> int:
    r"""Runs the task as the command line says; returns the exit status."""
    preset = PRESETS[args.preset]
    device = find_device(args.device)
    rows = make_rows(args.method, args.conv, args.features, preset, device)
    if args.features == "pca" and (args.vocab or args.cell_encoder):
        raise ValueError("--vocab and --cell-encoder are for tokens; leave out --features pca, or them")
    if args.runs < 1:
        raise ValueError(f"--runs must be at least 1 (got {args.runs})")
    report = Report(args.out)

    source = SliceSource(args.data, args.slice_key, preset, RADIUS, args.seed, args.layer)
    slices = source.with_pca(args.label)
    labelled = sum((cell_labels(data, args.label) >= 0).any() for data in slices)
    split = args.split or ("cross" if labelled > 1 else "blocks")
    classes = slices[0].classes[args.label]
    check_labels(slices, args.label, classes)
    make_folds(split, slices, args.label, args.seed)  # What cannot be split fails before any work.
    tokens = None
    if any(row.on_tokens for row in rows.values()):
        tokens = TokenFeatures(source, preset.encoder, args.vocab, args.cell_encoder, device)
    report.start(
        task="segmentation",
        data=[str(file) for file in args.data] if args.data else "SyntheticTissue",
        label=args.label,
        split=split,
        methods=list(rows),
        conv=args.conv,
        features=args.features,
        vocab=tokens.vocab.fingerprint if tokens is not None else None,
        cell_encoder=args.cell_encoder,
        seed=args.seed,
        runs=args.runs,
        preset={"name": args.preset, "radius": RADIUS, **asdict(preset)},
        device=str(device),
        slices=[{"name": data.name, "cells": int((data.cell_id >= 0).sum())} for data in slices],
    )

    interrupted = False
    work = sum(row.method.work(slices) for row in rows.values())
    work += tokens.work() if tokens is not None else 0
    with logging_redirect_tqdm(), tqdm(total=args.runs * work, desc="segmentation", unit="step") as bar:
        try:
            for seed in range(args.seed, args.seed + args.runs):
                for name, row in rows.items():
                    bar.set_description(f"{name}, seed {seed}")
                    features = tokens if row.on_tokens else None
                    one_run(
                        report, name, row.method, features, slices, args.label, classes, split, seed, bar
                    )
        except KeyboardInterrupt:
            interrupted = True
    print(report.finish(interrupted=interrupted))
    return 130 if interrupted else 0


def one_run(report, name, method, features, slices, label, classes, split, seed, bar):
    r"""One method with one seed: embeds, predicts every fold, scores every slice."""
    seconds = {}
    with report.tensorboard(name, seed) as writer:
        inputs = slices
        if features is not None:
            inputs = features.slices(seed, bar.update, writer)
            seconds["features"] = features.seconds  # Of each row, though made once.
        before = time.perf_counter()
        embeddings = method.embed(inputs, seed, bar.update, writer)
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
        seconds=seconds | {"embed": embedded - before, "head": time.perf_counter() - embedded},
    )
    report.pictures(name, seed, slices, label, classes, predictions, confusion)


class Row(NamedTuple):
    r"""A row of the table: a method, and whether it sees features made of tokens or the PCA."""

    method: Any
    on_tokens: bool = False


def make_rows(names: str, conv: str, features: str, preset, device: torch.device) -> dict[str, Row]:
    r"""The rows by name. SToFM has one for tokens and one for the PCA, or the latter alone; another
    operator gets a row beside the SE(2) layer's, on the features that were asked for."""
    out = {}
    another = find_conv(conv) is not find_conv(SE2)
    for name in dict.fromkeys(part.strip() for part in names.split(",")):
        if name not in METHODS:
            raise ValueError(f"Unknown method '{name}'; known: {', '.join(METHODS)}")
        if name != "stofm":
            out[name] = Row(METHODS[name]())
            continue
        se2 = METHODS[name](preset, SE2, RADIUS, device)
        other = METHODS[name](preset, conv, RADIUS, device) if another else None
        if features == "tokens":
            out[name] = Row(se2, on_tokens=True)
            if another:
                out[f"stofm ({conv})"] = Row(other, on_tokens=True)
        out["stofm (pca)"] = Row(se2)
        if another and features == "pca":
            out[f"stofm (pca, {conv})"] = Row(other)
    return out


def check_labels(slices, label: str, classes: list[str]):
    r"""Raises if there are not two classes to tell apart."""
    present = np.unique(np.concatenate([cell_labels(data, label) for data in slices]))
    present = present[present >= 0]
    if present.size < 2:
        found = ", ".join(f"'{classes[c]}'" for c in present) or "no known label"
        raise ValueError(f"--label {label} needs at least two classes (found {found})")
