r"""Objectives and training."""

from stofm_pyg.train.adaptation._adapt_cell_encoder import AdaptationResult, adapt_cell_encoder
from stofm_pyg.train.adaptation.settings import AdaptationSettings
from stofm_pyg.train.adaptation.task import AdaptationTask
from stofm_pyg.train.engine.batch_plan import BatchPlan
from stofm_pyg.train.engine.checkpoints import Checkpoints
from stofm_pyg.train.engine.devices import find_device
from stofm_pyg.train.engine.loader import PlanLoader
from stofm_pyg.train.engine.micro_batch import MicroBatch
from stofm_pyg.train.engine.optimizer import OptimizerConfig
from stofm_pyg.train.engine.termination import EXIT_TERMINATED, Termination
from stofm_pyg.train.engine.trainer import Trainer
from stofm_pyg.train.finetuning._finetune import finetune
from stofm_pyg.train.objectives.contrastive_cells import ContrastiveCells
from stofm_pyg.train.objectives.domain_adaptation import DomainAdaptation
from stofm_pyg.train.objectives.gene_objective import GeneObjective
from stofm_pyg.train.objectives.masked_cell_modelling import MaskedCellModelling
from stofm_pyg.train.objectives.masked_gene_modelling import MaskedGeneModelling
from stofm_pyg.train.objectives.pairwise_distance_recovery import PairwiseDistanceRecovery
from stofm_pyg.train.objectives.pretraining import Pretraining
from stofm_pyg.train.objectives.ring_recovery import RingRecovery
from stofm_pyg.train.pretraining._fit import fit
from stofm_pyg.train.pretraining._pretrain import pretrain
from stofm_pyg.train.pretraining.config import (
    CellEncoderConfig,
    ModelConfig,
    PretrainConfig,
    StageConfig,
)
from stofm_pyg.train.pretraining.features import encode_corpus, fit_feature_scale
from stofm_pyg.train.pretraining.held_out_slices import HeldOutSlices
from stofm_pyg.train.pretraining.objectives import OBJECTIVES, ObjectiveContext
from stofm_pyg.train.pretraining.presets import PRESETS

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
    "MaskedCellModelling",
    "MaskedGeneModelling",
    "MicroBatch",
    "ModelConfig",
    "OBJECTIVES",
    "ObjectiveContext",
    "OptimizerConfig",
    "PRESETS",
    "PairwiseDistanceRecovery",
    "PlanLoader",
    "PretrainConfig",
    "Pretraining",
    "RingRecovery",
    "StageConfig",
    "Termination",
    "Trainer",
    "adapt_cell_encoder",
    "encode_corpus",
    "find_device",
    "finetune",
    "fit",
    "fit_feature_scale",
    "pretrain",
]
