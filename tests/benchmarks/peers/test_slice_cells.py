import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from benchmarks.peers.panel import panel_vocab
from benchmarks.peers.slice_cells import SliceCells, as_anndata


def make_slice(num_genes):
    counts = sparse.csr_matrix(np.arange(2 * num_genes, dtype=np.float32).reshape(2, -1))
    genes = pd.Index([f"GENE{number}" for number in range(num_genes)], dtype=str)
    return SliceCells(as_anndata(counts, pd.DataFrame(index=genes)), torch.zeros(2, 2))


def test_counts_of_the_genes_of_a_vocabulary():
    counts, tokens = make_slice(6).counts_of(panel_vocab(["GENE4", "NONE", "GENE1"]))
    assert tokens.tolist() == [3, 5]
    assert counts.toarray().tolist() == [[4.0, 1.0], [10.0, 7.0]]


def test_a_few_genes_chosen_of_a_transcriptome():
    item = make_slice(1000)
    counts, _ = item.counts_of(panel_vocab([f"GENE{number}" for number in range(20)]))
    assert counts.shape == (2, 20)
    with pytest.raises(ValueError, match="are in the vocabulary"):
        item.counts_of(panel_vocab([f"OTHER{number}" for number in range(20)]))
