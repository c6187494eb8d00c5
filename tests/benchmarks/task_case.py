"""A task without a model, whose numbers can be told beforehand."""

from argparse import Namespace

from PIL import Image
from torch import tensor
from torch_geometric.data import Data

from benchmarks.rows import Row
from benchmarks.tasks.task import Task
from stofm_pyg.data import SliceSettings


def make_args(out, **changes):
    """The options of the command line."""
    args = {
        "task": "counting", "data": ["a.h5ad"], "label": None, "split": None, "unseen": False, "runs": 2,
        "seed": 0, "jobs": 1, "fresh": False, "out": out, "preset": "tiny", "device": "cpu",
        "conv": "SE2TransformerConv", "features": "auto", "ablate": None, "model": None,
        "missing_genes": 0.0, "method": "first,second", "reference": None, "slice_key": "slice",
        "layer": None, "seconds": None,
    }  # fmt: skip
    return Namespace(**{**args, **changes})


class CountingData:
    """Two slices of three cells."""

    settings = SliceSettings()

    def __init__(self, content="content"):
        self.slices = [Data(cell_id=tensor([0, 1, 2]), num_nodes=3) for _ in range(2)]
        self.slices[0].name, self.slices[1].name = "a", "b"
        self.content = content

    def hashes(self):
        return [self.content]


class Counting(Task):
    """Its score is a tenth of the seed plus one for the second row; it remembers what was run."""

    name = "counting"
    metrics = ("score", "error")
    lower = ("error",)
    ran = []

    def prepare(self):
        if self.args.label == "unsuited":
            raise ValueError("the label does not suit")
        self.data = CountingData(getattr(self.args, "content", "content"))

    def rows(self):
        names = [name for name in self.args.method.split(",")]
        option = getattr(self.args, "option", 1)
        return {
            name: Row(number, seeded=name != "first", settings={"option": option})
            for number, name in enumerate(names)
        }

    def notes(self):
        return "Counted `by hand`."

    def run_row(self, row, seed):
        if getattr(self.args, "breaks", None) == (row.method, seed):
            raise ValueError("a row that breaks")
        self.ran.append((row.method, seed))
        score = row.method + seed / 10
        scores = {name: {"score": score + i, "error": -score} for i, name in enumerate("ab")}
        return {"scores": scores, "seconds": {"embed": 0.5}, "drawn": score, "extras": {"more": [seed]}}

    def draw(self, name, result, folder):
        shade = int(100 * result["drawn"]) % 256
        Image.new("RGB", (4, 4), (shade, 0, 0)).save(folder / f"{name}-score.png")
