import pytest
import torch

from stofm_pyg.loader import MaskGenes
from stofm_pyg.loader.token_batch import IGNORED
from stofm_pyg.train import ContrastiveCells, DomainAdaptation, MaskedGeneModelling
from stofm_pyg.train.adaptation.held_out_cells import held_out_accuracy, held_out_batches, split_held_out
from tests.train.adaptation_case import make_cells, make_encoder, make_vocab

VOCAB = make_vocab()
CELLS = make_cells(VOCAB)
MASK = MaskGenes(torch.arange(2, 38))


@pytest.mark.parametrize(("num_cells", "expected"), [(2, 1), (10, 1), (100, 5), (1000, 50)])
def test_split(num_cells, expected):
    train, held = split_held_out(num_cells)
    assert held.numel() == expected
    assert torch.cat([train, held]).sort().values.tolist() == list(range(num_cells))
    assert train.tolist() == sorted(train.tolist()) and held.tolist() == sorted(held.tolist())


def test_split_by_seed():
    assert torch.equal(split_held_out(100, seed=3)[1], split_held_out(100, seed=3)[1])
    assert not torch.equal(split_held_out(100, seed=3)[1], split_held_out(100, seed=4)[1])


def test_bad_split():
    with pytest.raises(ValueError, match=r"Two cells are needed.*\(got 1\)"):
        split_held_out(1)
    with pytest.raises(ValueError, match=r"between 0 and 1 \(got 1.0\)"):
        split_held_out(10, 1.0)


def test_batches():
    batches = held_out_batches(CELLS, MASK, 60, seed=1)
    assert torch.cat([b.cells for b in batches]).sort().values.tolist() == list(range(120))
    for batch in batches:
        chosen = batch.labels != IGNORED
        assert (batch.tokens[chosen] == 1).all() and (batch.count(chosen) > 0).all()
        whole = torch.where(chosen, batch.labels, batch.tokens).split(batch.lengths.tolist())
        for row, cell in zip(whole, batch.cells, strict=True):
            assert row.tolist() == CELLS[int(cell)].tolist()
    again = held_out_batches(CELLS, MASK, 60, seed=1)
    assert all(torch.equal(a.labels, b.labels) for a, b in zip(batches, again, strict=True))


def test_accuracy_counts_genes_and_leaves_the_mode():
    module = DomainAdaptation(
        make_encoder(VOCAB, dropout=0.5), MaskedGeneModelling(len(VOCAB)), ContrastiveCells()
    ).train()
    batches = held_out_batches(CELLS, MASK, 100)
    accuracy = held_out_accuracy(module, batches)
    assert module.training and accuracy == held_out_accuracy(module, batches)
    module.eval()
    right = asked = 0
    for batch in batches:
        logits = module.encoder.gene_logits(module.states(batch))
        chosen = batch.labels != IGNORED
        right += int((logits.argmax(-1) == batch.labels)[chosen].sum())
        asked += int(chosen.sum())
    assert accuracy == pytest.approx(right / asked)
    assert held_out_accuracy(module, []) == 0.0
