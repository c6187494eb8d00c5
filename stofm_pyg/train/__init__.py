r"""Objectives and training."""

from stofm_pyg.train.masked_cell_modelling import MaskedCellModelling
from stofm_pyg.train.pairwise_distance_recovery import PairwiseDistanceRecovery
from stofm_pyg.train.pretraining import Pretraining
from stofm_pyg.train.trainer import Trainer

__all__ = ["MaskedCellModelling", "PairwiseDistanceRecovery", "Pretraining", "Trainer"]
