import math

import pytest
import torch
from torch_geometric.data import Data

from stofm_pyg.loader import MaskGenes, SubsampleGenes
from stofm_pyg.nn import SliceEncoderOutput
from stofm_pyg.train.objectives import GeneObjective
from tests.cell_encoders import make_cells, make_encoder

OUTPUT = SliceEncoderOutput(torch.zeros(1, 1), [], None)
GENES = torch.arange(2, 19)


@pytest.fixture
def cell_encoder():
    return make_encoder(gene_head=True, num_layers=1)


@pytest.fixture
def batch():
    cells = make_cells(tuple(8 + i % 6 for i in range(45)))
    return Data(tokens=cells.tokens, lengths=cells.lengths)


def make_objective(encoder, contrastive, num_cells=20):
    return GeneObjective(
        encoder, MaskGenes(GENES, rate=0.3), SubsampleGenes(0.5), contrastive, num_cells
    )


def test_masked_genes_of_an_encoder_that_knows_nothing(cell_encoder, batch):
    with torch.no_grad():
        cell_encoder.bert.get_input_embeddings().weight.zero_()
        cell_encoder.gene_head.bias.zero_()
    loss = make_objective(cell_encoder, False)(OUTPUT, batch)
    assert float(loss) == pytest.approx(math.log(17), rel=1e-4)


def test_contrast_between_cells_that_are_all_alike(cell_encoder, batch):
    with torch.no_grad():
        cell_encoder.proj.weight.zero_()
    loss = make_objective(cell_encoder, True, num_cells=20)(OUTPUT, batch)
    assert float(loss) == pytest.approx(math.log(20), rel=1e-4)


@pytest.mark.parametrize("contrastive", [False, True])
def test_it_trains_the_encoder_and_lists_nothing_twice(cell_encoder, batch, contrastive):
    objective = make_objective(cell_encoder, contrastive)
    assert list(objective.parameters()) == []
    objective(OUTPUT, batch).backward()
    assert cell_encoder.bert.get_input_embeddings().weight.grad.abs().max() > 0


def test_what_is_random_comes_from_torchs_generator(cell_encoder, batch):
    objective = make_objective(cell_encoder, False)
    losses = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        losses.append(float(objective(OUTPUT, batch)))
    assert losses[0] == losses[1] != losses[2]


def test_count(cell_encoder, batch):
    assert make_objective(cell_encoder, True).count(batch) == 20
    assert make_objective(cell_encoder, True, 1000).count(batch) == 45


def test_repr(cell_encoder):
    assert str(make_objective(cell_encoder, True)) == "GeneObjective(contrastive, num_cells=20)"
