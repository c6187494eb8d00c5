import json

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from benchmarks.adapt import annotate, counts, fit_bag, main, right_guesses
from stofm_pyg.loader import TokenBatch

GENES = torch.tensor([10, 11, 12, 15])
TOKENS = torch.tensor([2, 1, 11, 15, 2, 12, 1, 2, 1, 1, 10])  # CLS 2, mask 1.
LABELS = torch.tensor([-100, 10, -100, -100, -100, -100, 10, -100, 12, 15, -100])
BATCH = TokenBatch(TOKENS, torch.tensor([4, 3, 4]), LABELS)


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    """A file of 90 cells of three types, which have genes of their own, in three slices."""
    rng = np.random.default_rng(0)
    kind = np.arange(90) % 3
    rate = np.where(np.arange(30) // 10 == kind[:, None], 3.0, 0.2)
    adata = anndata.AnnData(sparse.csr_matrix(rng.poisson(rate).astype("float32")))
    adata.var_names = [f"GENE{i}" for i in range(30)]
    adata.obs["cell_type"] = pd.Categorical([f"type {k}" for k in kind])
    adata.obs["slice"] = pd.Categorical([f"slice {i // 30}" for i in range(90)])
    path = tmp_path_factory.mktemp("slices") / "a.h5ad"
    adata.write_h5ad(path)
    return str(path)


def test_rows(slices, tmp_path, capsys):
    out, sizes = tmp_path / "out.json", ["--preset", "tiny", "--steps", "30", "--runs", "1"]
    data = ["--data", slices, "--vocab", "slices", "--annotate", slices]
    assert main([*data, *sizes, "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    [row] = result["runs"]
    names = ("frequent", "bag", "unadapted", "adapted")
    assert all(0 <= row[f"{name}_accuracy"] <= 1 for name in names)
    assert row["adapted_type_macro_f1"] > 0.8
    assert result["summary"]["bag_accuracy"] == {"mean": row["bag_accuracy"], "std": 0.0}
    assert "adapted_type_macro_f1" in capsys.readouterr().out
    assert main([*data, "--runs", "0"]) == 2 and main([*data, "--label", "domain"]) == 2
    errors = capsys.readouterr().err
    assert "--runs must be at least 1 (got 0)" in errors and "--label domain or --slice-key" in errors


def test_genes_that_a_cell_shows_are_no_answers():
    assert counts(BATCH, TOKENS, GENES).tolist() == [[0, 1, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0]]
    # The third cell shows gene 10, then 12 and 15 tie and the first is taken, for both its genes.
    often = counts(BATCH, LABELS, GENES).sum(dim=0).expand(3, -1)
    assert right_guesses(often, BATCH, GENES) == [True, True, True, False]
    # 10 is left of the first cell's; the second guesses 11, the others are right.
    each = torch.tensor([[0.0, 9, 0, 8], [1, 2, 0, 0], [9, 0, 1, 0], [0, 0, 0, 1]])
    assert right_guesses(each, BATCH, GENES) == [True, False, True, True]


def test_bag_of_genes_learns_what_goes_together():
    seen = torch.eye(4)[torch.arange(1000) % 2].split(10)
    masked = torch.eye(4)[2 + torch.arange(1000) % 2].split(10)
    p = fit_bag(list(zip(seen, masked, strict=True)))(torch.eye(4)[:2]).softmax(-1)
    assert p.argmax(dim=-1).tolist() == [2, 3] and p.max(dim=-1).values.min() > 0.8


def test_annotation():
    label, slices = np.tile([0, 1, 2], 40), np.repeat([0, 1, 2], 40)
    x = np.eye(3)[label] + 0.05 * np.random.default_rng(0).normal(size=(120, 3))
    assert list(annotate(x, label, slices, 1000)) == [(1.0, 1.0)] * 3
    assert all(accuracy < 0.5 for _, accuracy in annotate(np.zeros_like(x), label, slices, 50))
    x[slices == 1] = 1e6
    assert list(annotate(x, np.where(slices == 1, -1, label), slices, 1000)) == [(1.0, 1.0)] * 2
    with pytest.raises(ValueError, match=r"Got \[1, 3\] slices and classes"):
        list(annotate(x, label, np.zeros(120), 1000))
