r"""The methods that a benchmark compares: each turns slices into embeddings of their cells, without
labels. One file each."""

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
