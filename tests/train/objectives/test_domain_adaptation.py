from itertools import islice

import pytest
import torch
import torch.nn.functional as F

from stofm_pyg.loader import TokenBatch
from stofm_pyg.train import (
    AdaptationSettings,
    AdaptationTask,
    ContrastiveCells,
    DomainAdaptation,
    MaskedGeneModelling,
)
from tests.train.adaptation_case import make_cells, make_encoder, make_vocab

VOCAB = make_vocab()
CELLS = make_cells(VOCAB)


def make_module(mgm_weight=1.0, contrastive_weight=1.0):
    mgm = MaskedGeneModelling(len(VOCAB))
    return DomainAdaptation(
        make_encoder(VOCAB), mgm, ContrastiveCells(), mgm_weight, contrastive_weight
    ).eval()


def first_batch(**settings):
    settings = AdaptationSettings(max_tokens=200, **settings)
    return next(iter(AdaptationTask(CELLS, VOCAB, settings).batches()))


def test_losses_are_those_of_the_objectives():
    module, batch = make_module(2.0, 0.5), first_batch()
    losses = module(batch)
    states = module.states(batch)
    table = module.encoder.bert.embeddings.word_embeddings.weight
    mgm, accuracy = module.mgm(states, batch.labels, module.encoder.gene_head, table)
    pooled = F.normalize(module.encoder.proj(states[batch.ptr[:-1]]), dim=-1)
    pooled = pooled - pooled.mean(dim=0)
    half = len(pooled) // 2
    contrastive = module.contrastive(pooled[:half], pooled[half:])
    assert torch.allclose(losses["mgm"], mgm) and losses["accuracy"] == accuracy
    assert torch.allclose(losses["contrastive"], contrastive)
    assert torch.allclose(losses["loss"], 2.0 * mgm + 0.5 * contrastive)


def test_states_and_pooling_are_those_of_the_encoder():
    module, cells = make_module(), CELLS[:6]
    batch = TokenBatch.take(cells, torch.arange(6))
    assert batch.lengths.unique().numel() > 1
    states = module.states(batch)
    expected = torch.cat([module.encoder.bert(cells[i][None]).last_hidden_state[0] for i in range(6)])
    assert torch.allclose(states, expected, atol=1e-5)
    assert torch.allclose(module.pooled(states, batch), module.encoder.encode(cells), atol=1e-5)


def test_one_view_has_no_contrastive_loss():
    losses = make_module(contrastive_weight=0.0)(first_batch(contrastive_weight=0.0))
    assert losses.keys() == {"mgm", "accuracy", "loss"} and losses["loss"] == losses["mgm"]


def test_all_parts_learn():
    module = make_module()
    module(first_batch())["loss"].backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_bad_weights():
    for weights in ((-1.0, 1.0), (0.0, 0.0)):
        with pytest.raises(ValueError, match="must not be negative, nor both be zero"):
            make_module(*weights)


def test_an_encoder_without_head():
    encoder = make_encoder(VOCAB, gene_head=False)
    with pytest.raises(ValueError, match="no head for masked genes.*'gene_head=True'"):
        DomainAdaptation(encoder, MaskedGeneModelling(len(VOCAB)), ContrastiveCells())


def test_task_keeps_poor_cells_and_held_out_cells_from_training():
    settings = AdaptationSettings(min_genes=9, max_tokens=300)
    task = AdaptationTask(CELLS, VOCAB, settings)
    rich = int((CELLS.lengths >= 10).sum())
    assert len(task.held) == round(0.05 * rich) and len(task.train) == rich - len(task.held)
    assert task.gene_tokens.tolist() == list(range(2, 38))
    assert all(int(b.tokens.max()) <= VOCAB.cls_token_id for b in islice(task.batches(), 5))
    assert task.batches().max_tokens == 150 and task.batches().num_views == 2


def test_task_without_cells():
    with pytest.raises(ValueError, match="Only 0 of 120 cells have 30 genes or more"):
        AdaptationTask(CELLS, VOCAB, AdaptationSettings(min_genes=30))
