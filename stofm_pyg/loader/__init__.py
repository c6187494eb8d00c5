r"""Partitions of slices into subpatches, and loaders of subpatches."""

from stofm_pyg.loader.random_regions import RandomRegions
from stofm_pyg.loader.spatial_cluster_data import SpatialClusterData
from stofm_pyg.loader.subpatch_loader import SubpatchLoader

__all__ = ["RandomRegions", "SpatialClusterData", "SubpatchLoader"]
