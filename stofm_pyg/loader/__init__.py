r"""Partitions of slices into subpatches, and loaders of subpatches and of tokenised cells."""

from stofm_pyg.loader.mask_genes import MaskGenes
from stofm_pyg.loader.random_regions import RandomRegions
from stofm_pyg.loader.spatial_cluster_data import SpatialClusterData
from stofm_pyg.loader.subpatch_loader import SubpatchLoader
from stofm_pyg.loader.subsample_genes import SubsampleGenes
from stofm_pyg.loader.token_batch import TokenBatch
from stofm_pyg.loader.token_batches import TokenBatches

__all__ = [
    "MaskGenes",
    "RandomRegions",
    "SpatialClusterData",
    "SubpatchLoader",
    "SubsampleGenes",
    "TokenBatch",
    "TokenBatches",
]
