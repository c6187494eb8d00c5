r"""Annotation: a head on frozen embeddings names the type of each cell."""

from benchmarks.tasks.classification import Classification


class Annotation(Classification):
    r"""Names the type of each cell."""

    name = "annotation"
    default_label = "cell_type"
