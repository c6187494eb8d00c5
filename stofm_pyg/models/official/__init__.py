r"""Weights and settings of the official code, from and to ours."""

from stofm_pyg.models.official._activation import make_activation
from stofm_pyg.models.official._load import MASK, load_encoder, load_official
from stofm_pyg.models.official.checkpoint import official_model_state, read_official_checkpoint
from stofm_pyg.models.official.config import official_options, read_official_config
from stofm_pyg.models.official.names import UNUSED, head_names
from stofm_pyg.models.official.weights import (
    from_official_heads,
    from_official_state,
    official_heads,
    to_official_state,
)

__all__ = [
    "MASK",
    "UNUSED",
    "from_official_heads",
    "from_official_state",
    "head_names",
    "load_encoder",
    "load_official",
    "make_activation",
    "official_heads",
    "official_model_state",
    "official_options",
    "read_official_checkpoint",
    "read_official_config",
    "to_official_state",
]
