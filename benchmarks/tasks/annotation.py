r"""Annotation: a head on frozen embeddings names the type of each cell."""

from benchmarks.rows import Row, classifier_rows
from benchmarks.tasks.classification import Classification


class Annotation(Classification):
    r"""Names the type of each cell. Beside the head that all rows share, :obj:`"stofm, fine-tuned"` is
    what a user calls for it."""

    name = "annotation"
    default_label = "cell_type"

    def rows(self) -> dict[str, Row]:
        return classifier_rows(self.args) | super().rows()
