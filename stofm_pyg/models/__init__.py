r"""Models, their weights and their checkpoints."""

from stofm_pyg.models.official_weights import from_official_state
from stofm_pyg.models.stofm import SToFM

__all__ = ["SToFM", "from_official_state"]
