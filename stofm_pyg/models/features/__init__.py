r"""What a model sees of a cell: kinds of features, each a part of the model and saved with it."""

from stofm_pyg.models.features._load_features import FEATURES, load_features
from stofm_pyg.models.features.base import Features
from stofm_pyg.models.features.given import GivenFeatures
from stofm_pyg.models.features.obsm import ObsmFeatures
from stofm_pyg.models.features.pca import PCAFeatures
from stofm_pyg.models.features.spatial_signal import SpatialSignal
from stofm_pyg.models.features.tokens import TokenFeatures

__all__ = [
    "FEATURES",
    "Features",
    "GivenFeatures",
    "ObsmFeatures",
    "PCAFeatures",
    "SpatialSignal",
    "TokenFeatures",
    "load_features",
]
