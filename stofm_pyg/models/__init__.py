r"""Models, their weights and their checkpoints."""

from stofm_pyg.models.cell_encoder import CellEncoder
from stofm_pyg.models.encode_corpus import encode_corpus, fit_feature_scale
from stofm_pyg.models.feature_scale import FeatureScale
from stofm_pyg.models.official_heads import from_official_heads, official_heads
from stofm_pyg.models.official_weights import from_official_state, to_official_state
from stofm_pyg.models.slices_from_counts import slices_from_counts
from stofm_pyg.models.stofm import SToFM

__all__ = [
    "CellEncoder",
    "FeatureScale",
    "SToFM",
    "encode_corpus",
    "fit_feature_scale",
    "from_official_heads",
    "from_official_state",
    "official_heads",
    "slices_from_counts",
    "to_official_state",
]
