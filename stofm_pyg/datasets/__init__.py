r"""Slices as PyG datasets."""

from stofm_pyg.datasets._generate_tissue import generate_tissue
from stofm_pyg.datasets.h5ad_slices import H5adSlices
from stofm_pyg.datasets.published import (
    PublishedSlices,
    download_published,
    published_label,
    published_names,
)
from stofm_pyg.datasets.synthetic_tissue import SyntheticTissue

__all__ = [
    "H5adSlices",
    "PublishedSlices",
    "SyntheticTissue",
    "download_published",
    "generate_tissue",
    "published_label",
    "published_names",
]
