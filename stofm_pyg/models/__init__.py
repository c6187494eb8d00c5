r"""Models, their weights and their checkpoints."""

from stofm_pyg.models.official_heads import from_official_heads, official_heads
from stofm_pyg.models.official_weights import from_official_state, to_official_state
from stofm_pyg.models.stofm import SToFM

__all__ = [
    "SToFM",
    "from_official_heads",
    "from_official_state",
    "official_heads",
    "to_official_state",
]
