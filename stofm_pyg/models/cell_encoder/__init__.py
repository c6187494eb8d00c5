r"""The gene scale: from the tokens of cells to their embeddings."""

from stofm_pyg.models.cell_encoder.cache import EmbeddingCache, hash_tensors
from stofm_pyg.models.cell_encoder.feature_scale import FeatureScale
from stofm_pyg.models.cell_encoder.gene_bag import GeneBag
from stofm_pyg.models.cell_encoder.gene_head import GeneHead
from stofm_pyg.models.cell_encoder.model import CellEncoder
from stofm_pyg.models.cell_encoder.start import (
    keep_angles,
    max_components,
    spread_embeddings,
    start_as_bag,
)

__all__ = [
    "CellEncoder",
    "EmbeddingCache",
    "FeatureScale",
    "GeneBag",
    "GeneHead",
    "hash_tensors",
    "keep_angles",
    "max_components",
    "spread_embeddings",
    "start_as_bag",
]
