from torch_geometric.transforms import BaseTransform, Compose

from stofm_pyg.corpus import CorpusSettings
from stofm_pyg.train.pretraining.config import StageConfig
from stofm_pyg.transforms import (
    ConnectVirtualCells,
    DropCells,
    JitterFeatures,
    MaskCells,
    PerturbPositions,
    ScalePositions,
    SpatialRadiusGraph,
)


def training_transform(
    settings: CorpusSettings, stage: StageConfig, trains_cells: bool = False
) -> BaseTransform:
    r"""What a subpatch goes through before a model is trained on it: some cells are left out, positions
    are scaled, some cells moved and their graph built anew, some cells masked, and noise is added to
    features.

    Args:
        settings (CorpusSettings): How the corpus was made.
        stage (StageConfig): The stage.
        trains_cells (bool, optional): Whether the cell encoder is trained, which makes the features;
            they get noise in :class:`JointModel` then. (default: :obj:`False`)
    """
    graph = SpatialRadiusGraph(settings.radius, settings.max_neighbors)
    noise = [] if trains_cells or stage.jitter == 0 else [JitterFeatures(stage.jitter)]
    return Compose(
        [
            DropCells(stage.drop_rate),
            ScalePositions(stage.scale),
            graph,
            PerturbPositions(stage.move_rate, stage.sigma),
            graph,
            MaskCells(stage.mask_rate),
            *noise,
            ConnectVirtualCells(),
        ]
    )


def held_out_transform(settings: CorpusSettings, stage: StageConfig) -> BaseTransform:
    r"""What a held-out subpatch goes through: whole, with masked and moved cells, without noise."""
    return Compose(
        [
            # First, so that cells are the same where they are masked alone.
            MaskCells(stage.mask_rate),
            PerturbPositions(stage.move_rate, stage.sigma),
            SpatialRadiusGraph(settings.radius, settings.max_neighbors),
            ConnectVirtualCells(),
        ]
    )
