import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from stofm_pyg import __version__
from stofm_pyg._files import checked, sealed, write_atomically
from stofm_pyg.corpus.plan import PlannedSlice
from stofm_pyg.corpus.shard_file import read_report
from stofm_pyg.data import SliceSettings

FORMAT, VERSION = "stofm_pyg.corpus", 2
MANIFEST, VOCAB, FEATURES = "manifest.json", "vocab.json", "features"
ORTHOLOGUES = "orthologues.json"


def write_manifest(
    directory: Path, planned: Sequence[PlannedSlice], settings: SliceSettings, fingerprint: str | None
) -> dict[str, Any]:
    r"""Writes the manifest of a corpus from the reports of its shards, and returns it.

    Several machines may write it. Whoever does looks again whether more shards are there by then, so
    that the last one to finish leaves them all, in whichever order they write.

    Args:
        directory (Path): The corpus.
        planned (sequence of PlannedSlice): Its slices, whether made yet or not.
        settings (SliceSettings): How they were converted.
        fingerprint (str, optional): The fingerprint of the vocabulary.
    """
    content = _manifest(directory, planned, settings, fingerprint)
    while True:
        text = json.dumps(sealed(content), indent=1) + "\n"
        path = directory / MANIFEST
        write_atomically(path, lambda part, text=text: part.write_text(text, encoding="utf-8"))
        now = _manifest(directory, planned, settings, fingerprint)
        if now == content:
            return content
        content = now


def read_manifest(directory: Path) -> dict[str, Any]:
    r"""Reads the manifest of a corpus.

    Raises:
        FileNotFoundError: There is no such folder, or no corpus in it.
        ValueError: The manifest is damaged, or of another version.
    """
    mend = "Make a corpus with 'python -m stofm_pyg corpus build'."
    if not directory.is_dir():
        raise FileNotFoundError(
            f"There is no folder '{directory}' (looked from '{Path.cwd()}'). Check the path. {mend}"
        )
    path = directory / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"'{directory}' is no corpus: it has no '{MANIFEST}'. {mend}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{path}' is damaged ({error}). Run 'corpus build' again.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"'{path}' is no manifest of a corpus. {mend}")
    if content.get("version") != VERSION:
        raise ValueError(
            f"'{path}' has version {content.get('version')!r} of the format, this release of stofm_pyg "
            f"reads version {VERSION}. Update stofm_pyg, or make the corpus again."
        )
    try:
        return checked(content)
    except ValueError as error:
        raise ValueError(f"'{path}' is damaged ({error}). Run 'corpus build' again.") from error


def summary(content: dict[str, Any]) -> str:
    r"""Returns the summary of a manifest in a sentence."""
    total = content["summary"]
    missing = f"; missing slices: {total['missing']:,}" if total["missing"] else ""
    return (
        f"{total['slices']:,} slices, {total['cells']:,} cells in {total['subpatches']:,} subpatches, "
        f"{total['tokens']:,} tokens, {total['edges']:,} edges, {total['bytes']:,} bytes; "
        f"{total['cells_without_genes']:,} cells without genes{missing}"
    )


def _manifest(
    directory: Path, planned: Sequence[PlannedSlice], settings: SliceSettings, fingerprint: str | None
) -> dict[str, Any]:
    slices, missing = [], []
    for item in planned:
        own = {"name": item.name, "file": str(item.file), "slice": item.slice, "key": item.key}
        report = read_report(directory, item.key)
        if report is None:
            missing.append(own)
            continue
        report = {name: value for name, value in report.items() if name not in ("format", "version")}
        slices.append(own | {name: value for name, value in report.items() if name not in own})
    total = ("cells", "subpatches", "tokens", "edges", "bytes", "cells_without_genes")
    return {
        "format": FORMAT,
        "version": VERSION,
        "versions": {
            "stofm_pyg": __version__,
            "torch": torch.__version__,
            "anndata": version("anndata"),
        },
        "settings": settings.to_dict(),
        "vocabulary": fingerprint,
        "summary": {
            "slices": len(slices),
            "missing": len(missing),
            **{name: sum(item[name] for item in slices) for name in total},
        },
        "missing": missing,
        "slices": slices,
    }
