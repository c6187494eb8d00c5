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
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.annotation import annotate_slices  # noqa: E402
from benchmarks.evaluator import Evaluator  # noqa: E402
from benchmarks.gene_baselines import BagOfGenes, MostFrequentGene, right_guesses  # noqa: E402
from stofm_pyg.commands.encoder_to_adapt import PRESETS, encoder_to_adapt  # noqa: E402
from stofm_pyg.commands.read_cells import read_cells, read_vocab  # noqa: E402
from stofm_pyg.data.slices.files import opened_anndata  # noqa: E402
from stofm_pyg.data.slices.labels import encode_labels  # noqa: E402
from stofm_pyg.loader.token_batch import IGNORED  # noqa: E402
from stofm_pyg.train import AdaptationSettings, AdaptationTask, adapt_cell_encoder  # noqa: E402
from stofm_pyg.train.adaptation.held_out_cells import held_out_batches  # noqa: E402


def parser() -> argparse.ArgumentParser:
    default = AdaptationSettings()
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out.add_argument("--data", nargs="+", required=True, metavar="SLICE.h5ad")
    out.add_argument("--vocab", required=True, metavar="DIR|FILE|slices")
    out.add_argument("--annotate", metavar="SLICES.h5ad", help="slices with labels")
    out.add_argument("--label", default="cell_type", help="obs column to predict")
    out.add_argument("--slice-key", default="slice", help="obs column that tells slices apart")
    out.add_argument("--max-train", type=int, default=5_000, help="training cells of the head")
    out.add_argument("--preset", choices=list(PRESETS), default="small")
    out.add_argument("--steps", type=int, default=800)
    out.add_argument("--max-tokens", type=int, default=default.max_tokens)
    out.add_argument("--lr", type=float, default=default.lr)
    out.add_argument("--temperature", type=float, default=default.temperature)
    out.add_argument("--contrastive-weight", type=float, default=default.contrastive_weight)
    out.add_argument("--runs", type=int, default=3, help="seeds (default: 3)")
    out.add_argument("--seed", type=int, default=0, help="first seed (default: 0)")
    out.add_argument("--work", type=Path, help="keeps checkpoints here and goes on from them")
    out.add_argument("--json", type=Path, metavar="FILE")
    return out


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    warnings.simplefilter("ignore", ConvergenceWarning)
    try:
        return run(args)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        kept = f"; '{args.work}' keeps what is done" if args.work else ""
        print(f"interrupted{kept}", file=sys.stderr)
        return 130


def run(args: argparse.Namespace) -> int:
    if args.runs < 1:
        raise ValueError(f"--runs must be at least 1 (got {args.runs})")
    vocab = read_vocab(args.vocab, args.data)
    length = PRESETS[args.preset]["max_length"]
    cells = read_cells(args.data, vocab, length)
    target = read_target(args, vocab, length) if args.annotate else None
    rows = []
    for seed in range(args.seed, args.seed + args.runs):
        settings = AdaptationSettings(
            num_steps=args.steps,
            max_tokens=args.max_tokens,
            lr=args.lr,
            temperature=args.temperature,
            contrastive_weight=args.contrastive_weight,
            seed=seed,
        )
        rows.append(one_run(args, vocab, cells, target, settings))
        print(f"seed {seed}: " + ", ".join(f"{k} {v:.4g}" for k, v in rows[-1].items()), flush=True)
    report(args, settings, rows)
    return 0


def read_target(args: argparse.Namespace, vocab, length: int) -> tuple:
    r"""The slices to annotate: tokens, labels, slices, class names."""
    with opened_anndata(args.annotate) as adata:
        codes, classes = encode_labels(adata.obs, [args.label, args.slice_key])
    label = np.asarray(codes[args.label])
    if np.unique(label[label >= 0]).size < 2:
        raise ValueError(f"--label {args.label} needs at least two classes")
    tokens = read_cells([args.annotate], vocab, length)
    return tokens, label, np.asarray(codes[args.slice_key]), classes[args.label]


def one_run(args: argparse.Namespace, vocab, cells, target, settings) -> dict[str, float]:
    r"""Accuracies and annotation with one seed; what is done is kept in the folder of --work."""
    task = AdaptationTask(cells, vocab, settings)
    work = args.work and args.work / f"seed-{settings.seed}"
    kept = Row(work / "row.json" if work else None, asdict(settings))
    kept.add("bag_accuracy", lambda: baselines(task))
    with torch.random.fork_rng(devices=[]), tqdm(total=settings.num_steps, desc="adapt") as bar:
        torch.manual_seed(settings.seed)
        encoder = encoder_to_adapt("scratch", args.preset, vocab, settings.seed)
        if target is not None:
            kept.add(
                "unadapted_type_macro_f1",
                lambda: annotation("unadapted", args, encoder, target, settings.seed),
            )
        before = time.perf_counter()
        adapt_cell_encoder(
            encoder,
            cells,
            vocab,
            settings,
            checkpoints=work,
            save_every=50,
            on_step=lambda step, _: bar.update(step - bar.n),
        )
    kept.values["seconds"] = kept.values.get("seconds", 0.0) + time.perf_counter() - before
    kept.add("adapted_accuracy", lambda: {"adapted_accuracy": encoder_accuracy(task, encoder)})
    if target is not None:
        kept.add(
            "adapted_type_macro_f1",
            lambda: annotation("adapted", args, encoder, target, settings.seed),
        )
    return kept.values


class Row:
    r"""The numbers of one seed, kept in a file as they come so that a long run can be broken off."""

    def __init__(self, path: Path | None, settings: dict):
        self.path, self.settings = path, settings
        self.values: dict[str, float] = {}
        if path is not None and path.is_file():
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["settings"] != settings:
                raise ValueError(f"'{path}' is of other settings; name another folder by --work")
            self.values = content["values"]

    def add(self, key: str, measure: Callable[[], dict[str, float]]):
        r"""Adds what is measured, if :obj:`key` is not there already."""
        if key in self.values:
            return
        self.values |= measure()
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"settings": self.settings, "values": self.values})
            self.path.write_text(text, encoding="utf-8")


def baselines(task: AdaptationTask) -> dict[str, float]:
    r"""The accuracy of both guesses, fitted to the training cells, on the held-out masked genes."""
    settings, genes = task.settings, task.gene_tokens
    train = held_out_batches(task.train, task.mask, settings.max_tokens, seed=settings.seed + 1)
    # Batches come by length; the linear map is fitted by steps that must not all be of one kind.
    order = np.random.default_rng(settings.seed).permutation(len(train))
    train = [train[i] for i in order]
    out = {}
    for name, guess in (("frequent", MostFrequentGene(genes)), ("bag", BagOfGenes(genes))):
        guess.fit(train)
        hits = [right_guesses(guess.scores(batch), batch, genes) for batch in task.held_out()]
        out[f"{name}_accuracy"] = float(np.sum(hits, axis=0)[0] / np.sum(hits, axis=0)[1])
    return out


@torch.no_grad()
def encoder_accuracy(task: AdaptationTask, encoder) -> float:
    r"""The accuracy of an encoder on the held-out masked genes."""
    module = task.module(encoder).eval()
    hits = []
    for batch in task.held_out():
        asked = module.states(batch)[batch.labels != IGNORED]
        if asked.size(0) > 0:
            logits = module.mgm.logits(asked, encoder.gene_head, module.embedding)
            hits.append(right_guesses(logits, batch, task.gene_tokens))
    return float(np.sum(hits, axis=0)[0] / np.sum(hits, axis=0)[1])


def annotation(name: str, args: argparse.Namespace, encoder, target, seed: int) -> dict[str, float]:
    r"""The mean macro-F1 and accuracy over the slices held out."""
    tokens, label, slices, classes = target
    training = encoder.training
    embedding = encoder.eval().encode(tokens).numpy()
    encoder.train(training)
    scores = annotate_slices(embedding, label, slices, classes, args.max_train, seed)
    metrics = Evaluator.metrics
    return {f"{name}_type_{key}": float(np.mean([s[key] for s in scores])) for key in metrics}


def report(args: argparse.Namespace, settings: AdaptationSettings, rows: list[dict[str, float]]):
    r"""Prints means and deviations, and writes them."""
    summary = {}
    for key in rows[0]:
        values = [row[key] for row in rows]
        summary[key] = {"mean": float(np.mean(values)), "std": float(np.std(values))}
    print(f"{'':28s} mean    std over {len(rows)} seeds")
    for key, value in summary.items():
        print(f"{key:28s} {value['mean']:<7.4f} {value['std']:.4f}")
    if args.json:
        out = {
            "data": [str(path) for path in args.data],
            "annotate": args.annotate,
            "preset": args.preset,
            "settings": asdict(settings),
            "runs": rows,
            "summary": summary,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }
        args.json.write_text(json.dumps(out, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
