r"""The methods that a benchmark compares, one file each.

A method turns slices into embeddings of their cells, without labels:

* ``work(slices)``: how many steps of the progress bar it takes;
* ``embed(slices, seed, on_step, writer)``: one array [N, D] per slice. It calls ``on_step`` with the
  number of steps done, and may write curves to the TensorBoard ``writer``.
"""

from benchmarks.methods.coordinates import Coordinates
from benchmarks.methods.neighbour_pca import NeighbourPCA
from benchmarks.methods.pca import PCA
from benchmarks.methods.stofm import SToFMPretrained

METHODS = {
    "stofm": SToFMPretrained,
    "pca": PCA,
    "neighbour-pca": NeighbourPCA,
    "coordinates": Coordinates,
}
