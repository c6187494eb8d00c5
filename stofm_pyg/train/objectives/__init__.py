r"""What is minimised: modules from a batch, or a model's output, to losses."""

from stofm_pyg.train.objectives.contrastive_cells import ContrastiveCells
from stofm_pyg.train.objectives.domain_adaptation import DomainAdaptation
from stofm_pyg.train.objectives.gene_objective import GeneObjective
from stofm_pyg.train.objectives.masked_cell_modelling import MaskedCellModelling
from stofm_pyg.train.objectives.masked_gene_modelling import MaskedGeneModelling
from stofm_pyg.train.objectives.pairwise_distance_recovery import PairwiseDistanceRecovery
from stofm_pyg.train.objectives.pretraining import Pretraining

__all__ = [
    "ContrastiveCells",
    "DomainAdaptation",
    "GeneObjective",
    "MaskedCellModelling",
    "MaskedGeneModelling",
    "PairwiseDistanceRecovery",
    "Pretraining",
]
