r"""Models, their weights and their checkpoints."""

from stofm_pyg.models._attention_of import CellAttention, attention_of
from stofm_pyg.models._embed_in_parts import embed_in_parts
from stofm_pyg.models.cell_encoder.feature_scale import FeatureScale
from stofm_pyg.models.cell_encoder.model import CellEncoder
from stofm_pyg.models.domains import Domains
from stofm_pyg.models.joint_model import JointModel
from stofm_pyg.models.label_head import LabelHead
from stofm_pyg.models.model_card import ModelCard
from stofm_pyg.models.official.weights import (
    from_official_heads,
    from_official_state,
    official_heads,
    to_official_state,
)
from stofm_pyg.models.read_out import ReadOut
from stofm_pyg.models.stofm import SToFM

__all__ = [
    "CellAttention",
    "CellEncoder",
    "Domains",
    "FeatureScale",
    "JointModel",
    "LabelHead",
    "ModelCard",
    "ReadOut",
    "SToFM",
    "attention_of",
    "embed_in_parts",
    "from_official_heads",
    "from_official_state",
    "official_heads",
    "to_official_state",
]
