r"""Writes each kind of file small, then too large for the disk or for the limit of a file, and prints
what was lost: `python -m tests.full_disk FOLDER [BYTES]`. A limit holds for the process.
"""

import errno
import resource
import sys
from pathlib import Path

import anndata
import matplotlib
import numpy as np
import torch
from torch_geometric.data import Data

from stofm_pyg._files import save_torch, write_atomically
from stofm_pyg.corpus.shard_file import is_intact, read_report, write_shard
from stofm_pyg.data import CellTokens, GeneVocab
from stofm_pyg.datasets._slice_cache import load_slices, save_slices
from stofm_pyg.models import SToFM
from stofm_pyg.models.features import GivenFeatures, ObsmFeatures, load_features
from stofm_pyg.train import Checkpoints
from tests.cell_encoders import make_encoder

matplotlib.use("agg")
BIG = 600_000  # Numbers of four bytes, more than the disk or the limit has.


def checkpoint(folder, size):
    Checkpoints(folder).save(size, {"step": size, "x": torch.zeros(size)}, score=1.0 / size)


def shard(folder, size):
    write_shard(folder, "0" * 32, {"x": torch.zeros(size)}, {"cells": size})


def cache(folder, size):
    save_slices([Data(x=torch.zeros(size, 1))], folder / "slices.pt")


def model(folder, size):
    torch.manual_seed(0)
    width = 8 if size < BIG else 256
    out = SToFM(in_channels=width, hidden_channels=width, num_layers=2, heads=2)
    out.features = GivenFeatures(np.full(width, float(width)))
    out.save_pretrained(folder)


def features(folder, size):
    ObsmFeatures(f"key{size}", np.zeros(size)).save(folder)


def tokens(folder, size):
    CellTokens(torch.zeros(size, dtype=torch.int32), torch.tensor([0, size])).save(folder / "tokens")


def vocabulary(folder, size):
    genes = {f"GENE{i}": i + 2 for i in range(size // 6)}
    GeneVocab(genes, dict.fromkeys(genes, 1.0)).save(folder / "vocab.json")


def report(folder, size):
    write_atomically(folder / "results.json", lambda part: part.write_text("x" * 4 * size))


def embedded(folder, size):
    adata = anndata.AnnData(np.zeros((1, size), dtype=np.float32))
    write_atomically(folder / "out.h5ad", adata.write_h5ad)


def weights(folder, size):
    write_atomically(folder / "x.pt", lambda part: save_torch({"x": torch.zeros(size)}, part))


def encoder(folder, size):
    # The BERT is written first, and small.
    make_encoder(seed=size, out_channels=max(6, size // 16)).save_pretrained(folder)


KINDS = (
    checkpoint, shard, cache, model, encoder, features, tokens, vocabulary, report, embedded, weights
)  # fmt: skip


def whole(kind, folder):
    """Whether what was written small can be read as it was."""
    if kind is checkpoint:
        state = Checkpoints(folder).load_newest()
        return state["step"] == 10 and torch.equal(state["x"], torch.zeros(10))
    if kind is shard:
        return is_intact(folder, "0" * 32) and read_report(folder, "0" * 32)["cells"] == 10
    if kind is cache:
        return load_slices(folder / "slices.pt")[0].num_nodes == 10
    if kind is model:
        read = SToFM.from_pretrained(folder)
        return read.config["in_channels"] == 8 and read.features.factor.tolist() == [8.0] * 8
    if kind is features:
        return load_features(folder).obsm == "key10"
    return True


def main(folder: Path, limit: int | None) -> int:
    lost = 0
    for kind in KINDS:
        own = folder / kind.__name__
        own.mkdir()
        kind(own, 10)
        before = {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
        try:
            kind(own, BIG)
            said = "written"
        except OSError as error:
            wanted = (errno.EFBIG,) if limit is not None else (errno.ENOSPC, errno.EDQUOT)
            one_line = len(str(error).splitlines()) == 1 and str(own) in str(error)
            good = error.errno in wanted and one_line and type(error) is OSError
            said = "" if good else f"OSError: {error}"
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        after = {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}
        if said or after != before or not whole(kind, own):
            changed = [str(path) for path in {*before, *after} if before.get(path) != after.get(path)]
            print(f"{kind.__name__}: {said or 'an OSError'}, changed: {changed}")
            lost += 1
    print(f"{lost} kinds of files lost")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
