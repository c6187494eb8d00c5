r"""Objectives and training."""

from stofm_pyg.train.adapt_cell_encoder import AdaptationResult, adapt_cell_encoder
from stofm_pyg.train.adaptation_settings import AdaptationSettings
from stofm_pyg.train.adaptation_task import AdaptationTask
from stofm_pyg.train.batch_plan import BatchPlan
from stofm_pyg.train.checkpoints import Checkpoints
from stofm_pyg.train.contrastive_cells import ContrastiveCells
from stofm_pyg.train.domain_adaptation import DomainAdaptation
from stofm_pyg.train.gene_objectives import GeneObjective
from stofm_pyg.train.held_out_slices import HeldOutSlices
from stofm_pyg.train.joint_model import JointModel
from stofm_pyg.train.masked_cell_modelling import MaskedCellModelling
from stofm_pyg.train.masked_gene_modelling import MaskedGeneModelling
from stofm_pyg.train.micro_batch import MicroBatch
from stofm_pyg.train.objectives import OBJECTIVES, ObjectiveContext
from stofm_pyg.train.pairwise_distance_recovery import PairwiseDistanceRecovery
from stofm_pyg.train.plan_loader import PlanLoader
from stofm_pyg.train.pretrain import pretrain
from stofm_pyg.train.pretrain_config import CellEncoderConfig, ModelConfig, PretrainConfig
from stofm_pyg.train.pretrain_presets import PRESETS
from stofm_pyg.train.pretraining import Pretraining
from stofm_pyg.train.stage_config import StageConfig
from stofm_pyg.train.termination import EXIT_TERMINATED, Termination
from stofm_pyg.train.trainer import Trainer

__all__ = [
    "AdaptationResult",
    "AdaptationSettings",
    "AdaptationTask",
    "BatchPlan",
    "CellEncoderConfig",
    "Checkpoints",
    "ContrastiveCells",
    "DomainAdaptation",
    "EXIT_TERMINATED",
    "GeneObjective",
    "HeldOutSlices",
    "JointModel",
    "MaskedCellModelling",
    "MaskedGeneModelling",
    "MicroBatch",
    "ModelConfig",
    "OBJECTIVES",
    "ObjectiveContext",
    "PRESETS",
    "PairwiseDistanceRecovery",
    "PlanLoader",
    "PretrainConfig",
    "Pretraining",
    "StageConfig",
    "Termination",
    "Trainer",
    "adapt_cell_encoder",
    "pretrain",
]
