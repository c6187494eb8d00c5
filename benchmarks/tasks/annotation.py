r"""Annotation: a head on frozen embeddings names the type of each cell."""

from benchmarks.methods.fine_tuned import FineTuned
from benchmarks.rows import Row
from benchmarks.tasks.classification import Classification


class Annotation(Classification):
    r"""Names the type of each cell. Beside the head that all rows share, :obj:`"stofm, fine-tuned"` is
    what a user calls for it."""

    name = "annotation"
    default_label = "cell_type"

    def rows(self) -> dict[str, Row]:
        rows, args = super().rows(), self.args
        if args.method in (None, "all") and not args.ablate and not args.unseen:
            told = {"method": "stofm, fine-tuned", "preset": args.preset}
            method = FineTuned(preset=args.preset, device=args.device)
            rows = {"stofm, fine-tuned": Row(method, settings=told), **rows}
        return rows
