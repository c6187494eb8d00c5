import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import benchmarks.report
import benchmarks.run
import stofm_pyg.cli
from stofm_pyg.commands import COMMANDS
from stofm_pyg.datasets import generate_tissue

Command = Callable[[Path], int]

# What the command line imports on use: a fork finds it there.
IMPORTED = (
    *(f"stofm_pyg.commands.{name}" for name in COMMANDS),
    "transformers.models.bert.modeling_bert", "accelerate", "pymetis", "leidenalg",
    "matplotlib.backends.backend_agg",
)  # fmt: skip

STAGES = {
    "stage_1": {"num_epochs": 6, "save_every": 2, "evaluate_every": 5},
    "stage_2": {"num_epochs": 3, "save_every": 2, "evaluate_every": 3, "max_tokens": 512},
}
CONFIG = {"adaptation": {"num_steps": 4, "max_tokens": 1024}, **STAGES}
PARTS = ("corpus", "model", "results")
#: What a command reads of them.
NEEDS = {"pretrain": "corpus", "embed": "model", "report": "results"}
#: How many of a hundred kills each command gets.
SHARES = {"corpus": 20, "fit": 20, "pretrain": 24, "embed": 12, "benchmark": 14, "report": 10}


def import_all():
    r"""Imports what the commands import on use."""
    for name in IMPORTED:
        importlib.import_module(name)


def prepare(folder: Path, seed: int, parts: Sequence[str] = PARTS) -> int:
    r"""Writes what the commands read: two slices of 200 cells, and what is made of them.

    Args:
        folder (Path): Where to.
        seed (int): The seed of all that is random.
        parts (sequence of str, optional): Of a corpus, a model and results.
            (default: :obj:`("corpus", "model", "results")`)
    """
    adata = generate_tissue(2, 200, num_genes=40, num_unobserved=0, seed=seed)
    files = _slices(folder)
    for name, file in zip(adata.obs["slice"].unique(), files, strict=True):
        adata[adata.obs["slice"] == name].copy().write_h5ad(file)
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    short = {"stage_1": {"num_epochs": 1}, "stage_2": {"num_epochs": 0}}
    (folder / "short.json").write_text(json.dumps(short), encoding="utf-8")
    known, training = commands(folder, seed), _training(folder / "short.json", seed)
    makers = {
        "corpus": lambda: known["corpus"](folder / "corpus"),
        "model": lambda: _stofm("fit", *files, *training, "--out", folder / "model"),
        "results": lambda: known["benchmark"](folder / "results"),
    }
    return max((makers[part]() for part in parts), default=0)


def commands(folder: Path, seed: int) -> dict[str, Command]:
    r"""Returns the commands by name, each of which writes to a folder that it is given.

    Args:
        folder (Path): What :meth:`prepare` wrote.
        seed (int): The seed of all that is random.
    """
    slices = _slices(folder)
    training = _training(folder / "config.json", seed)
    how = ["--radius", 3.0, "--cells-per-part", 40]

    def corpus(out: Path) -> int:
        return _stofm("corpus", "build", *slices, "--vocab", "slices", *how, "--out", out)

    def fit(out: Path) -> int:
        return _stofm("fit", *slices, *training, "--workers", 0, "--out", out)

    def pretrain(out: Path) -> int:
        return _stofm("pretrain", "--corpus", folder / "corpus", *training, "--workers", 1, "--out", out)

    def embed(out: Path) -> int:
        out.mkdir(exist_ok=True)
        return _stofm("embed", folder / "model", *slices, "--overwrite", "--device", "cpu", "--out", out)

    def benchmark(out: Path) -> int:
        words = ["--task", "segmentation", "--data", *slices, "--label", "domain", "--preset", "tiny"]
        words += ["--runs", 1, "--method", "pca,untrained,stofm", "--device", "cpu", "--seed", seed]
        return benchmarks.run.main([*map(str, words), "--out", str(out)])

    def report(out: Path) -> int:
        return benchmarks.report.main([str(folder / "results"), "--out", str(out)])

    made = (corpus, fit, pretrain, embed, benchmark, report)
    return {command.__name__: command for command in made}


def _slices(folder: Path) -> list[Path]:
    return [folder / "first.h5ad", folder / "second.h5ad"]


def _training(config: Path, seed: int) -> list[object]:
    return ["--preset", "tiny", "--config", config, "--seed", seed, "--device", "cpu"]


def _stofm(*words: object) -> int:
    return stofm_pyg.cli.main([str(word) for word in words])
