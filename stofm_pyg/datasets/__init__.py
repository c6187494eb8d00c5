r"""Slices as PyG datasets."""

from stofm_pyg.datasets._generate_tissue import generate_tissue
from stofm_pyg.datasets.h5ad_slices import H5adSlices
from stofm_pyg.datasets.synthetic_tissue import SyntheticTissue

__all__ = ["H5adSlices", "SyntheticTissue", "generate_tissue"]
