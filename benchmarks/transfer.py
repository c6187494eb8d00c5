r"""What pre-training on some data sets gives on another that it has never seen:
`python benchmarks/transfer.py --corpus A.h5ad B.h5ad --vocab DIR --score C.h5ad:domain`.

One cell encoder begins as a bag of genes; of each seed a slice encoder is pre-trained on the corpus,
beside the same one without a step. Their errors on a slice held out stand beside those of simple
guesses, and a logistic regression reads their frozen embeddings of --score. With --fit both go on on
those slices, without labels, by `SToFM.fit`, before they are scored.
"""

import argparse
import json
import logging
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.data import BenchmarkData  # noqa: E402
from benchmarks.head import predict_folds  # noqa: E402
from benchmarks.paired import paired_difference, told  # noqa: E402
from benchmarks.splits import make_folds  # noqa: E402
from benchmarks.tasks.classification import scored  # noqa: E402
from stofm_pyg._files import write_atomically  # noqa: E402
from stofm_pyg.commands.read_cells import read_vocab  # noqa: E402
from stofm_pyg.corpus import Corpus, build_corpus  # noqa: E402
from stofm_pyg.data import SliceSettings  # noqa: E402
from stofm_pyg.models import SToFM  # noqa: E402
from stofm_pyg.train import PRESETS, PretrainConfig, pretrain  # noqa: E402
from stofm_pyg.train.pretraining.run import CELLS  # noqa: E402

UNTRAINED, TRAINED, FITTED = "untrained", "pre-trained", "then fitted"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--corpus", nargs="+", required=True, metavar="SLICES.h5ad", help="to pre-train on")
    add("--score", nargs="+", required=True, metavar="FILE.h5ad:LABEL", help="to score on")
    add("--vocab", required=True, metavar="DIR|FILE", help="the vocabulary of the tokens")
    add("--held-out", action="append", metavar="NAME", help="slice of the corpus that is not trained on "
        "(default: its last one)")  # fmt: skip
    add("--fit", action="store_true", help="rows for models that go on on the slices to score")
    add("--slice-key", default="slice", help="obs column that tells slices apart")
    add("--preset", choices=list(PRESETS), default="small")
    add("--steps", type=int, help="the most steps of pre-training (default: that of the preset)")
    add("--runs", type=int, default=3, help="seeds (default: 3)")
    add("--seed", type=int, default=0, help="first seed (default: 0)")
    add("--out", type=Path, default=Path("results/transfer"))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        run(parser.parse_args(argv))
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(args: argparse.Namespace):
    r"""Builds the corpus, trains and scores; prints tables and writes :obj:`results.json`."""
    settings = SliceSettings(slice_key=args.slice_key)
    scores = {}
    for text in args.score:
        file, _, label = text.rpartition(":")
        if not file or not label:
            raise ValueError(f"--score takes FILE.h5ad:LABEL (got '{text}')")
        seen = [other for other in args.corpus if Path(other).resolve() == Path(file).resolve()]
        if seen:
            raise ValueError(f"'{file}' is in --corpus, so that it is not unseen; leave it out there")
        scores[f"{Path(file).stem}, {label}"] = BenchmarkData([file], label, settings)
    vocab = read_vocab(args.vocab, args.corpus)
    corpus = build_corpus(args.corpus, args.out / "corpus", vocab, settings, progress=True)
    config = PRESETS[args.preset]
    stage = config.stage_1 if args.steps is None else replace(config.stage_1, max_steps=args.steps)
    config = replace(config, stage_1=stage, held_out=args.held_out or 1)

    errors, runs = {}, {name: [] for name in scores}
    for seed in range(args.seed, args.seed + args.runs):
        models, errors[seed] = models_of(corpus, replace(config, seed=seed), args.out)
        for name, data in scores.items():
            for row, model in models.items():
                rows = {row: model} | ({f"{row}, {FITTED}": _fitted(model, data)} if args.fit else {})
                for called, found in rows.items():
                    runs[name].append({"method": called, "seed": seed} | score(found, data, seed))
    page = {
        "corpus": [str(file) for file in args.corpus], "slices": corpus.names, "cells": corpus.num_cells,
        "held_out": args.held_out or corpus.names[-1:], "preset": args.preset,
        "steps": stage.max_steps, "errors": errors, "scores": runs,
    }  # fmt: skip
    text = json.dumps(page, indent=2) + "\n"
    write_atomically(args.out / "results.json", lambda path: path.write_text(text, encoding="utf-8"))
    print(tables(page))


def models_of(corpus: Corpus, config: PretrainConfig, out: Path) -> tuple[dict[str, SToFM], dict]:
    r"""A model without a step and one that was pre-trained from there, and the errors of the latter on
    the slice held out. What was done before is not done again.

    Args:
        corpus (Corpus): The slices.
        config (PretrainConfig): The configuration, with the seed.
        out (Path): Where the runs go; the first one leaves the features of the cells for all.
    """
    stages = {"stage_1": {"num_epochs": 0}, "stage_2": {"num_epochs": 0}}
    start = out / f"seed-{config.seed}" / "untrained"
    given = None
    first = sorted(out.glob(f"seed-*/untrained/{CELLS}"))
    if first and first[0].parent != start:
        given = SToFM.from_pretrained(first[0].parent).cell_encoder
        if not (start / CELLS).exists():
            shutil.copytree(first[0], start / CELLS, copy_function=os.link)
    pretrain(corpus, start, PretrainConfig.from_dict(stages, config), cell_encoder=given, resume=True)
    untrained = SToFM.from_pretrained(start)
    end = out / f"seed-{config.seed}" / "trained"
    if not (end / CELLS).exists():
        shutil.copytree(start / CELLS, end / CELLS, copy_function=os.link)
    errors = pretrain(
        corpus, end, config, cell_encoder=untrained.cell_encoder, resume=True, num_workers=1
    )
    return {UNTRAINED: untrained, TRAINED: SToFM.from_pretrained(end)}, errors


def score(model: SToFM, data: BenchmarkData, seed: int) -> dict[str, Any]:
    r"""The scores of a head on frozen embeddings, each slice held out in turn; contiguous regions of
    each where there is one slice alone."""
    x = data.embedded_by(model, seed)
    split = "cross" if len(data.slices) > 1 else "blocks"
    folds = make_folds(split, data.slices, data.label, seed)
    found = predict_folds(data.slices, data.label, x, folds, data.classes)
    return {"slices": scored(data, data.label, found)["scores"], "split": split}


def _fitted(model: SToFM, data: BenchmarkData) -> SToFM:
    return SToFM.fit(data.sources, model=model, progress=False, slice_key=data.settings.slice_key)


def tables(page: dict[str, Any]) -> str:
    r"""The results as Markdown."""
    lines = ["| held out | " + " | ".join(f"seed {seed}" for seed in page["errors"]) + " |"]
    lines.append("|---" * (1 + len(page["errors"])) + "|")
    runs = [item["stage_1"] for item in page["errors"].values()]
    for part in ("before", "after", "baselines"):
        for key in runs[0].get(part, {}):
            values = " | ".join(f"{item[part][key]:.3f}" for item in runs)
            lines.append(f"| {part}: {key} | {values} |")
    lines += ["", "| macro-F1 | " + " | ".join(page["scores"]) + " |"]
    lines.append("|---" * (1 + len(page["scores"])) + "|")
    names = list(dict.fromkeys(run["method"] for runs in page["scores"].values() for run in runs))
    for name in names:
        cells = [_mean(runs, name) for runs in page["scores"].values()]
        lines.append(f"| {name} | " + " | ".join(f"{value:.3f}" for value in cells) + " |")
    for end in ("", f", {FITTED}"):
        if TRAINED + end in names:
            cells = [
                told(paired_difference(runs, TRAINED + end, UNTRAINED + end))
                for runs in page["scores"].values()
            ]
            lines.append(f"| learned{end} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _mean(runs: list[dict], name: str) -> float:
    values = [s["macro_f1"] for run in runs if run["method"] == name for s in run["slices"].values()]
    return sum(values) / len(values)


if __name__ == "__main__":
    sys.exit(main())
