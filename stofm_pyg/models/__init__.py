r"""Models, their weights and their checkpoints."""

from stofm_pyg.models.cell_encoder.feature_scale import FeatureScale
from stofm_pyg.models.cell_encoder.model import CellEncoder
from stofm_pyg.models.official.weights import (
    from_official_heads,
    from_official_state,
    official_heads,
    to_official_state,
)
from stofm_pyg.models.slices_from_counts import slices_from_counts
from stofm_pyg.models.stofm import SToFM

__all__ = [
    "CellEncoder",
    "FeatureScale",
    "SToFM",
    "from_official_heads",
    "from_official_state",
    "official_heads",
    "slices_from_counts",
    "to_official_state",
]
