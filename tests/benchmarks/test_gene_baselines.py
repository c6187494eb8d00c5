import pytest
import torch

from benchmarks.gene_baselines import (
    BagOfGenes,
    MostFrequentGene,
    masked_genes,
    right_guesses,
    seen_genes,
)
from stofm_pyg.loader import TokenBatch

GENES = torch.tensor([10, 11, 12, 15])
CLS, MASK, PAD = 2, 1, 0


def make_batch(rows):
    """Rows of (tokens, labels by position)."""
    ids = torch.tensor([tokens for tokens, _ in rows])
    labels = torch.full_like(ids, -100)
    for row, (_, answers) in enumerate(rows):
        for position, token in answers.items():
            labels[row, position] = token
    return TokenBatch(ids, ids != PAD, labels)


BATCH = make_batch(
    [
        ([CLS, MASK, 11, 15], {1: 10}),
        ([CLS, 12, MASK, PAD], {2: 10}),
        ([CLS, MASK, MASK, 10], {1: 12, 2: 15}),
    ]
)


def test_what_is_seen_and_what_is_masked():
    assert seen_genes(BATCH, GENES).tolist() == [[0, 1, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0]]
    assert masked_genes(BATCH, GENES).tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1]]


def test_most_frequent_gene_that_is_not_shown():
    guess = MostFrequentGene(GENES).fit([BATCH, BATCH])
    assert guess.score.tolist() == [4, 0, 2, 2]
    # The third cell shows gene 10, then 12 and 15 tie and the first is taken, for both its genes.
    assert right_guesses(guess.scores(BATCH), BATCH, GENES) == (3, 4)


def test_scores_per_masked_gene():
    scores = torch.tensor([[0.0, 9, 0, 8], [1, 2, 0, 0], [9, 0, 1, 0], [0, 0, 0, 1]])
    # 10 is left of the first cell's three and ties with 12; the second guesses 11, the others are right.
    assert right_guesses(scores, BATCH, GENES) == (3, 4)


def test_bag_of_genes_learns_what_goes_together():
    torch.manual_seed(0)
    rows = []
    for _ in range(200):
        first = bool(torch.rand(()) < 0.5)
        rows.append(([CLS, 10 if first else 11, MASK], {2: 12 if first else 15}))
    batches = [make_batch(rows[i : i + 20]) for i in range(0, 180, 20)]
    held = make_batch(rows[180:])
    bag = BagOfGenes(GENES, num_epochs=30, lr=0.1).fit(batches)
    assert right_guesses(bag.scores(held), held, GENES) == (20, 20)
    assert right_guesses(MostFrequentGene(GENES).fit(batches).scores(held), held, GENES)[0] < 16
    p = bag.scores(held).softmax(-1)
    assert p.max(dim=-1).values.min() > 0.8 and p.sum().item() == pytest.approx(20, abs=1e-3)
