r"""What domain adaptation of a cell encoder gains: `python benchmarks/adapt.py --data A.h5ad B.h5ad
--vocab DIR --annotate C.h5ad`.

Encoders are trained from scratch on the slices of --data. Held-out masked-gene accuracy stands beside
that of the most frequent gene and of a bag of genes, all among the genes that a cell does not show.
Then a logistic regression on frozen embeddings names the cell types of --annotate, each slice held out
in turn: after adaptation, and before it (the same random weights that it began with).
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stofm_pyg.commands.encoder_to_adapt import encoder_to_adapt  # noqa: E402
from stofm_pyg.commands.read_cells import read_cells, read_vocab  # noqa: E402
from stofm_pyg.data import open_anndata  # noqa: E402
from stofm_pyg.loader import TokenBatch  # noqa: E402
from stofm_pyg.train import PRESETS, AdaptationSettings, AdaptationTask, adapt_cell_encoder  # noqa: E402
from stofm_pyg.train.adaptation.held_out_cells import held_out_batches  # noqa: E402

EPOCHS, LR = 5, 0.01  # Of the bag of genes.


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--data", nargs="+", required=True, metavar="SLICE.h5ad")
    add("--vocab", required=True, metavar="DIR|FILE|slices")
    add("--annotate", metavar="SLICES.h5ad", help="slices with labels")
    add("--label", default="cell_type", help="obs column to predict")
    add("--slice-key", default="slice", help="obs column that tells slices apart")
    add("--max-train", type=int, default=5_000, help="training cells of the head")
    add("--preset", choices=list(PRESETS), default="small")
    add("--steps", type=int, default=800)
    add("--runs", type=int, default=3, help="seeds (default: 3)")
    add("--seed", type=int, default=0, help="first seed (default: 0)")
    add("--json", type=Path, metavar="FILE")
    try:
        run(parser.parse_args(argv))
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(args: argparse.Namespace):
    if args.runs < 1:
        raise ValueError(f"--runs must be at least 1 (got {args.runs})")
    vocab, length = read_vocab(args.vocab, args.data), PRESETS[args.preset].cell_encoder.max_length
    cells, target, rows = read_cells(args.data, vocab, length), None, []
    if args.annotate:
        obs = open_anndata(args.annotate).obs
        if not {args.label, args.slice_key} <= set(obs):
            raise ValueError(f"--label {args.label} or --slice-key {args.slice_key} is none of {[*obs]}")
        codes = (obs[name].astype("category").cat.codes for name in (args.label, args.slice_key))
        target = (read_cells([args.annotate], vocab, length), *(code.to_numpy() for code in codes))
    for seed in range(args.seed, args.seed + args.runs):
        settings = AdaptationSettings(num_steps=args.steps, seed=seed)
        task, row = AdaptationTask(cells, vocab, settings), {}
        row |= guess_accuracies(task)
        torch.manual_seed(seed)
        encoder = encoder_to_adapt("scratch", args.preset, vocab, seed)
        for state in ("unadapted", "adapted"):
            if state == "adapted":
                adapt_cell_encoder(encoder, cells, vocab, settings)
            row[f"{state}_accuracy"] = encoder_accuracy(task, encoder)
            if target is not None:
                x = encoder.eval().encode(target[0]).numpy()
                scores = np.mean(list(annotate(x, *target[1:], args.max_train, seed)), axis=0).tolist()
                row |= zip((f"{state}_type_macro_f1", f"{state}_type_accuracy"), scores, strict=True)
                encoder.train()
        rows.append(row)
        print(f"seed {seed}: " + ", ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)
    values = {key: [row[key] for row in rows] for key in rows[0]}
    summary = {k: {"mean": float(np.mean(v)), "std": float(np.std(v))} for k, v in values.items()}
    for key, value in summary.items():
        print(f"{key:24s} {value['mean']:.4f} ± {value['std']:.4f}")
    if args.json:
        out = {**vars(args), "json": None, "torch": torch.__version__, "runs": rows, "summary": summary}
        args.json.write_text(json.dumps(out, indent=2) + "\n", encoding="utf-8")


def guess_accuracies(task: AdaptationTask) -> dict[str, float]:
    r"""The accuracy, on the held-out masked genes, of the gene that is masked most often in the training
    cells, and of a linear map of the genes that a cell shows."""
    settings, genes = task.settings, task.gene_tokens
    batches = held_out_batches(task.train, task.mask, settings.max_tokens, seed=settings.seed + 1)
    # Batches come by length; the linear map is fitted by steps that must not all be of one kind.
    order = np.random.default_rng(settings.seed).permutation(len(batches))
    parts = [(batches[i], batches[i].tokens, batches[i].labels) for i in order]
    train = [(counts(b, seen, genes), counts(b, masked, genes)) for b, seen, masked in parts]
    often, bag, right = sum(masked.sum(dim=0) for _, masked in train), fit_bag(train), ([], [])
    for batch in task.held_out():
        shown = counts(batch, batch.tokens, genes)
        for hits, scores in zip(right, (often.expand_as(shown), bag(shown)), strict=True):
            hits += right_guesses(scores, batch, genes)
    return {"frequent_accuracy": float(np.mean(right[0])), "bag_accuracy": float(np.mean(right[1]))}


def fit_bag(train: Sequence[tuple[Tensor, Tensor]]) -> torch.nn.Module:
    r"""Fits a linear map from genes that are seen to the logits of those that are masked."""
    bag = torch.nn.Linear(train[0][0].size(1), train[0][0].size(1))
    for weight in bag.parameters():
        torch.nn.init.zeros_(weight)
    optimizer = torch.optim.Adam(bag.parameters(), LR)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, EPOCHS * len(train))
    for seen, masked in [*train] * EPOCHS:
        loss = -(F.log_softmax(bag(seen), dim=-1) * masked).sum() / masked.sum().clamp(min=1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return bag.requires_grad_(False)


@torch.no_grad()
def encoder_accuracy(task: AdaptationTask, encoder) -> float:
    r"""The accuracy of an encoder on the held-out masked genes."""
    module, hits = task.module(encoder).eval(), []
    for batch in task.held_out():
        asked = module.states(batch)[batch.labels >= 0]
        logits = module.mgm.logits(asked, encoder.gene_head, module.embedding)
        hits += right_guesses(logits, batch, task.gene_tokens)
    module.train()
    return float(np.mean(hits))


def counts(batch: TokenBatch, tokens: Tensor, genes: Tensor) -> Tensor:
    r"""Returns which genes :math:`(G)`, rising, are among some tokens :math:`(T)` of a batch, as ones of
    each cell :math:`(B, G)`."""
    known, out = torch.isin(tokens, genes), torch.zeros(batch.lengths.numel(), genes.numel())
    out[batch.rows[known], torch.searchsorted(genes, tokens[known])] = 1.0
    return out


def right_guesses(scores: Tensor, batch: TokenBatch, genes: Tensor) -> list[bool]:
    r"""Returns which masked genes have the best score, of a cell :math:`(B, G)` or their own
    :math:`(M, G)`, of all genes :math:`(G)` that their cell does not show: none is in a cell twice."""
    row = batch.rows[batch.labels >= 0]
    truth = torch.searchsorted(genes, batch.labels[batch.labels >= 0])
    scores = scores if scores.size(0) == row.numel() else scores[row]
    seen = counts(batch, batch.tokens, genes)[row].bool()
    return (scores.masked_fill(seen, -torch.inf).argmax(dim=-1) == truth).tolist()


def annotate(x, label, slices, max_train: int, seed: int = 0) -> Iterator[tuple[float, float]]:
    r"""Holds out each slice in turn; a logistic regression on random cells of the others, of those whose
    label is not -1, names its cells. Yields macro-F1 over the true classes, and accuracy."""
    x, label, slices = (values[label >= 0] for values in (x, label, slices))
    rng, sizes = np.random.default_rng(seed), [np.unique(values).size for values in (slices, label)]
    if min(sizes) < 2:
        raise ValueError(f"Got {sizes} slices and classes with labels; give two or more of both")
    for train, test in LeaveOneGroupOut().split(x, label, slices):
        if train.size > max_train:
            train = np.sort(rng.choice(train, max_train, replace=False))
        head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
        truth, guess = label[test], head.fit(x[train], label[train]).predict(x[test])
        f1 = f1_score(truth, guess, labels=np.unique(truth), average="macro", zero_division=0)
        yield float(f1), float(accuracy_score(truth, guess))


if __name__ == "__main__":
    sys.exit(main())
