import math

import pytest
import torch

from stofm_pyg.corpus import CorpusDataset
from stofm_pyg.loader import MaskGenes, SubsampleGenes
from stofm_pyg.nn import SliceEncoderOutput
from stofm_pyg.train.objectives.gene_objective import GeneObjective

OUTPUT = SliceEncoderOutput(torch.zeros(1, 1), [], None)


def make_objective(corpus, encoder, contrastive, num_cells=20):
    genes = torch.arange(2, len(corpus.vocab) - 1)
    mask = MaskGenes(genes, corpus.vocab.mask_token_id, rate=0.3)
    return GeneObjective(encoder, mask, SubsampleGenes(0.5), contrastive, num_cells)


@pytest.fixture
def batch(corpus, features):
    return CorpusDataset(corpus, features, tokens=True)[0]


def test_masked_genes_of_an_encoder_that_knows_nothing(corpus, cell_encoder, batch):
    with torch.no_grad():
        cell_encoder.bert.get_input_embeddings().weight.zero_()
        cell_encoder.gene_head.bias.zero_()
    loss = make_objective(corpus, cell_encoder, False)(OUTPUT, batch)
    assert float(loss) == pytest.approx(math.log(len(corpus.vocab) - 3), rel=1e-4)


def test_contrast_between_cells_that_are_all_alike(corpus, cell_encoder, batch):
    with torch.no_grad():
        cell_encoder.proj.weight.zero_()
    loss = make_objective(corpus, cell_encoder, True, num_cells=20)(OUTPUT, batch)
    assert float(loss) == pytest.approx(math.log(20), rel=1e-4)


@pytest.mark.parametrize("contrastive", [False, True])
def test_it_trains_the_encoder_and_lists_nothing_twice(corpus, cell_encoder, batch, contrastive):
    objective = make_objective(corpus, cell_encoder, contrastive)
    assert list(objective.parameters()) == []
    objective(OUTPUT, batch).backward()
    assert cell_encoder.bert.get_input_embeddings().weight.grad.abs().max() > 0


def test_what_is_random_comes_from_torchs_generator(corpus, cell_encoder, batch):
    objective = make_objective(corpus, cell_encoder, False)
    losses = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        losses.append(float(objective(OUTPUT, batch)))
    assert losses[0] == losses[1] != losses[2]


def test_count(corpus, cell_encoder, batch):
    size = batch.lengths.numel()
    assert make_objective(corpus, cell_encoder, True).count(batch) == 20
    assert make_objective(corpus, cell_encoder, True, 1000).count(batch) == size


def test_repr(corpus, cell_encoder):
    assert str(make_objective(corpus, cell_encoder, True)) == "GeneObjective(contrastive, num_cells=20)"
