r"""The objectives of pre-training by name. A new one is an entry more:
``pretrain(..., objectives={**OBJECTIVES, "mine": make_mine})``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from stofm_pyg.corpus import Corpus
from stofm_pyg.data import GeneVocab
from stofm_pyg.loader import MaskGenes, SubsampleGenes
from stofm_pyg.models import CellEncoder, SToFM
from stofm_pyg.train.objectives.gene_objective import GeneObjective
from stofm_pyg.train.objectives.masked_cell_modelling import MaskedCellModelling
from stofm_pyg.train.objectives.pairwise_distance_recovery import PairwiseDistanceRecovery
from stofm_pyg.train.objectives.ring_recovery import RingRecovery
from stofm_pyg.train.pretraining.config import StageConfig
from stofm_pyg.transforms.rings import RINGS


@dataclass(frozen=True)
class ObjectiveContext:
    r"""What an objective may be made from.

    Args:
        model (SToFM): The slice encoder.
        cell_encoder (CellEncoder, optional): The cell encoder, if there is one.
        vocab (GeneVocab, optional): Its vocabulary.
        corpus (Corpus): The slices to train on.
        radius (float): The radius of the graph.
        stage (StageConfig): The stage.
        trains_cells (bool): Whether the stage trains the cell encoder.
    """

    model: SToFM
    cell_encoder: CellEncoder | None
    vocab: GeneVocab | None
    corpus: Corpus
    radius: float
    stage: StageConfig
    trains_cells: bool


def make_mcm(context: ObjectiveContext) -> torch.nn.Module:
    r"""Masked cell modelling."""
    encoder = context.model.encoder
    return MaskedCellModelling(encoder.hidden_channels, encoder.in_channels, context.stage.mcm_loss)


def make_pdr(context: ObjectiveContext) -> torch.nn.Module:
    r"""Pairwise distance recovery."""
    return PairwiseDistanceRecovery(context.model.encoder.heads, 2 / 3 * context.radius)


def make_mgm(context: ObjectiveContext) -> torch.nn.Module:
    r"""Masked gene modelling."""
    return _gene_objective(context, contrastive=False)


def make_contrastive(context: ObjectiveContext) -> torch.nn.Module:
    r"""The contrastive loss between two views of a cell."""
    return _gene_objective(context, contrastive=True)


def make_rings(context: ObjectiveContext) -> torch.nn.Module:
    r"""Ring recovery."""
    encoder = context.model.encoder
    return RingRecovery(encoder.hidden_channels, encoder.in_channels, len(RINGS))


OBJECTIVES: Mapping[str, Callable[[ObjectiveContext], torch.nn.Module]] = {
    "mcm": make_mcm,
    "rings": make_rings,
    "pdr": make_pdr,
    "mgm": make_mgm,
    "contrastive": make_contrastive,
}


def make_objectives(
    context: ObjectiveContext,
    known: Mapping[str, Callable[[ObjectiveContext], torch.nn.Module]] = OBJECTIVES,
) -> dict[str, torch.nn.Module]:
    r"""Makes the objectives that a stage weighs above zero.

    Raises:
        ValueError: An objective is unknown, or none is left.
    """
    wanted = [name for name, weight in context.stage.objectives.items() if weight > 0]
    unknown = sorted(set(context.stage.objectives) - set(known))
    if unknown:
        raise ValueError(f"Unknown objectives {unknown}; known: {', '.join(known)}")
    if not wanted:
        raise ValueError(f"No objective has a weight above zero; weigh some of {', '.join(known)}")
    return {name: known[name](context) for name in wanted}


def _gene_objective(context: ObjectiveContext, contrastive: bool) -> GeneObjective:
    if not context.trains_cells:
        raise ValueError(
            "Objectives of the gene scale train the cell encoder, which is frozen in stage 1; move "
            "'mgm' and 'contrastive' to the objectives of 'stage_2'"
        )
    vocab = context.vocab
    parts = [vocab.genes_among(shard.tokens().tokens) for shard in context.corpus.shards]
    return GeneObjective(
        context.cell_encoder,
        MaskGenes(torch.cat(parts).unique(), vocab.mask_token_id),
        SubsampleGenes(eos_token_id=vocab.eos_token_id),
        contrastive,
        context.stage.gene_cells,
    )
