r"""The methods that a benchmark compares, one file each.

A method turns slices into embeddings of their cells, without labels: ``embed(data, seed, without)``
gives one array [N, D] for each slice of a :class:`~benchmarks.data.BenchmarkData`; the slice number
``without`` has no part in what the method learns, but is embedded, too. ``learns`` says whether there
is anything to learn, ``seeded`` whether the seed changes what it gives, ``trains`` whether ``steps``,
where they are set, are the steps that it trains, and ``info``, after a call, how many parameters it
has, how many steps it took and how long.
"""

from functools import partial

from benchmarks.methods.banksy import Banksy
from benchmarks.methods.cellplm import CellPLM
from benchmarks.methods.coordinates import Coordinates
from benchmarks.methods.fine_tuned import FineTuned
from benchmarks.methods.geneformer import Geneformer
from benchmarks.methods.neighbour_pca import NeighbourPCA
from benchmarks.methods.nicheformer import Nicheformer
from benchmarks.methods.novae import Novae
from benchmarks.methods.pca import PCA
from benchmarks.methods.pretrained import Pretrained, SavedModel
from benchmarks.methods.ring_pca import RingPCA
from benchmarks.methods.scgpt import ScGPT
from benchmarks.methods.smoothed_pca import SmoothedPCA
from benchmarks.methods.stofm import SToFMFitted, Untrained
from benchmarks.methods.with_neighbours import WithNeighbours

METHODS = {
    "stofm": SToFMFitted,
    "untrained": Untrained,
    "ring-pca": RingPCA,
    "smoothed-pca": SmoothedPCA,
    "neighbour-pca": NeighbourPCA,
    "pca": PCA,
    "pca-scaled": lambda: PCA(scale=True),
    "coordinates": Coordinates,
    "stofm-pretrained": Pretrained,
    "banksy": Banksy,
    "geneformer": Geneformer,
    "geneformer+neighbours": partial(WithNeighbours, Geneformer),
    "scgpt": ScGPT,
    "scgpt+neighbours": partial(WithNeighbours, ScGPT),
    "cellplm": CellPLM,
    "cellplm+position": partial(CellPLM, positions=True),
    "nicheformer": Nicheformer,
    "nicheformer+neighbours": partial(WithNeighbours, Nicheformer),
    "novae": Novae,
}
#: What has a head of its own, and so goes with annotation alone, of cell types or any other label.
CLASSIFIERS = {"fine-tuned": FineTuned}
#: The rows of a table where none are named.
DEFAULT = [
    *("stofm", "untrained", "ring-pca", "smoothed-pca", "neighbour-pca", "pca", "pca-scaled"),
    "coordinates",
]
#: The rows of all tasks; `stofm-pretrained` gives what `stofm` on tokens does, by way of a disk.
ALL = [name for name in METHODS if name != "stofm-pretrained"]

__all__ = ["ALL", "CLASSIFIERS", "DEFAULT", "METHODS", "SavedModel"]
