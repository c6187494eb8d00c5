r"""The methods that a benchmark compares, one file each.

A method turns slices into embeddings of their cells, without labels: ``embed(data, seed, without)``
gives one array [N, D] for each slice of a :class:`~benchmarks.data.BenchmarkData`; the slice number
``without`` has no part in what the method learns, but is embedded, too. ``learns`` says whether there
is anything to learn.
"""

from benchmarks.methods.coordinates import Coordinates
from benchmarks.methods.neighbour_pca import NeighbourPCA
from benchmarks.methods.pca import PCA
from benchmarks.methods.pretrained import Pretrained, SavedModel
from benchmarks.methods.ring_pca import RingPCA
from benchmarks.methods.smoothed_pca import SmoothedPCA
from benchmarks.methods.stofm import SToFMFitted, Untrained

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
}
#: The rows of a table where none are named.
DEFAULT = [name for name in METHODS if name != "stofm-pretrained"]

__all__ = ["DEFAULT", "METHODS", "SavedModel"]
