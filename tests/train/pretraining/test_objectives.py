from dataclasses import replace

import pytest
import torch

from stofm_pyg.models import SToFM
from stofm_pyg.train.pretraining.config import StageConfig
from stofm_pyg.train.pretraining.objectives import OBJECTIVES, ObjectiveContext, make_objectives


@pytest.fixture
def context(corpus, cell_encoder):
    model = SToFM(6, 8, 1, heads=2, num_gaussians=4)
    return ObjectiveContext(model, cell_encoder, corpus.vocab, corpus, 3.0, StageConfig(), True)


def weighing(context, **weights):
    return replace(context, stage=StageConfig(objectives=weights))


def test_those_with_a_weight(context):
    made = make_objectives(weighing(context, mcm=1.0, pdr=0.1, mgm=0.0))
    assert list(made) == ["mcm", "pdr"]
    assert made["mcm"].loss == "mse" and made["pdr"].mean_distance == 2.0


def test_the_official_loss(context):
    stage = StageConfig(objectives={"mcm": 1.0}, mcm_loss="cosine")
    assert make_objectives(replace(context, stage=stage))["mcm"].loss == "cosine"


def test_the_gene_scale_knows_the_genes_of_the_corpus(context, corpus):
    made = make_objectives(weighing(context, mgm=1.0, contrastive=1.0))
    seen = torch.cat([shard.tokens().tokens for shard in corpus.shards]).unique()
    genes = [token for token in seen.tolist() if token != corpus.vocab.cls_token_id]
    assert made["mgm"].mask.gene_tokens.tolist() == genes
    assert made["contrastive"].contrastive and not made["mgm"].contrastive


def test_one_of_ones_own(context):
    own = torch.nn.Identity()
    known = {**OBJECTIVES, "mine": lambda _: own}
    assert make_objectives(weighing(context, mine=1.0), known) == {"mine": own}


def test_bad_names(context):
    with pytest.raises(ValueError, match=r"Unknown objectives \['mmc'\]; known: mcm,"):
        make_objectives(weighing(context, mmc=1.0))
    with pytest.raises(ValueError, match="No objective has a weight above zero"):
        make_objectives(weighing(context, mcm=0.0))
    with pytest.raises(ValueError, match="move 'mgm' and 'contrastive' to the objectives of 'stage_2'"):
        make_objectives(replace(weighing(context, mgm=1.0), trains_cells=False))
