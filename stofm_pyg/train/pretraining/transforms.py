from torch_geometric.transforms import BaseTransform, Compose

from stofm_pyg.data import SliceSettings
from stofm_pyg.train.pretraining.config import StageConfig
from stofm_pyg.transforms import (
    AddCLS,
    ConnectVirtualCells,
    DropCells,
    JitterFeatures,
    MaskCells,
    OfficialGraph,
    PerturbPositions,
    ScalePositions,
    SpatialRadiusGraph,
)


def training_transform(
    settings: SliceSettings, stage: StageConfig, graph: str = "radius", trains_cells: bool = False
) -> BaseTransform:
    r"""What a region or subpatch goes through before a model is trained on it: some cells are left out,
    positions are scaled, some cells moved (where their distances are to be recovered) and their graph
    built anew, some cells masked, and noise is added to features.

    Args:
        settings (SliceSettings): How slices were made.
        stage (StageConfig): The stage.
        graph (str, optional): How nodes are tied, :obj:`SToFM.graph`. (default: :obj:`"radius"`)
        trains_cells (bool, optional): Whether the cell encoder is trained, which makes the features;
            they get noise in :class:`JointModel` then. (default: :obj:`False`)
    """
    tie, hubs = graph_transforms(settings, graph)
    moves = [PerturbPositions(stage.move_rate, stage.sigma), tie] if stage.moves_cells else []
    noise = [] if trains_cells or stage.jitter == 0 else [JitterFeatures(stage.jitter)]
    return Compose(
        [
            DropCells(stage.drop_rate),
            ScalePositions(stage.scale),
            *([AddCLS()] if graph == "official" else []),
            tie,
            *moves,
            MaskCells(stage.mask_rate),
            *noise,
            *hubs,
        ]
    )


def held_out_transform(
    settings: SliceSettings, stage: StageConfig, graph: str = "radius"
) -> BaseTransform:
    r"""What a held-out subpatch goes through: whole, with masked and moved cells, without noise. The
    arguments are those of :meth:`training_transform`."""
    tie, hubs = graph_transforms(settings, graph)
    moves = [PerturbPositions(stage.move_rate, stage.sigma), tie] if stage.moves_cells else []
    official = [AddCLS(), tie] if graph == "official" else []
    return Compose(
        [
            # First, so that cells are the same where they are masked alone.
            MaskCells(stage.mask_rate),
            *official,
            *moves,
            *hubs,
        ]
    )


def graph_transforms(
    settings: SliceSettings, graph: str
) -> tuple[BaseTransform, list[BaseTransform]]:
    r"""What ties the cells of a region, and what ties virtual cells to them."""
    if graph == "official":
        return OfficialGraph(), []
    return SpatialRadiusGraph(settings.radius, settings.max_neighbors), [ConnectVirtualCells()]
