r"""Tissue-domain segmentation: a head on frozen embeddings names the domain of each cell."""

from benchmarks.tasks.classification import Classification


class Segmentation(Classification):
    r"""Names the tissue domain of each cell."""

    name = "segmentation"
    default_label = "domain"
