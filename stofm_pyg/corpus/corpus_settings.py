import math
from dataclasses import dataclass

from stofm_pyg.data import Keys
from stofm_pyg.loader import SpatialClusterData
from stofm_pyg.transforms import NormalizePosition


@dataclass(frozen=True)
class CorpusSettings:
    r"""How the slices of a corpus are converted.

    Args:
        cells_per_part (int, optional): The wanted number of cells in a subpatch.
            (default: :obj:`1000`)
        method (str, optional): How slices are cut into subpatches, see
            :class:`~stofm_pyg.loader.SpatialClusterData`. (default: :obj:`"metis"`)
        radius (float, optional): Cells up to this distance, in :obj:`unit`, are joined.
            (default: :obj:`8.0`)
        unit (str, optional): The unit of positions, see
            :class:`~stofm_pyg.transforms.NormalizePosition`. (default: :obj:`"spacing"`)
        microns_per_unit (float, optional): The length in microns of the unit of the positions in the
            files, for :obj:`unit="micron"`. (default: :obj:`1.0`)
        max_neighbors (int, optional): Keeps only the nearest neighbours. (default: :obj:`None`)
        max_clusters (int, optional): The largest number of virtual cells of a slice.
            (default: :obj:`50`)
        alpha (float, optional): The weight of positions against features in the clusters.
            (default: :obj:`0.2`)
        num_features (int, optional): The number of principal components that the clusters are made
            from. They are those of each slice alone, so that one slice is in memory at a time.
            (default: :obj:`50`)
        max_length (int, optional): The largest number of tokens of a cell. (default: :obj:`2048`)
        slice_key (str, optional): The column of :obj:`adata.obs` that tells the slices of a file apart.
            Without a column :obj:`"slice"`, a file is one slice. (default: :obj:`"slice"`)
        spatial_key (str, optional): The key of the positions in :obj:`adata.obsm`.
            (default: :obj:`"spatial"`)
        layer (str, optional): The layer of the raw counts; if :obj:`None`, they are in :obj:`adata.X`.
            (default: :obj:`None`)
        seed (int, optional): The seed of components, clusters and subpatches. (default: :obj:`0`)

    Raises:
        ValueError: A number is out of its range, or a name unknown.
    """

    cells_per_part: int = 1000
    method: str = "metis"
    radius: float = 8.0
    unit: str = "spacing"
    microns_per_unit: float = 1.0
    max_neighbors: int | None = None
    max_clusters: int = 50
    alpha: float = 0.2
    num_features: int = 50
    max_length: int = 2048
    slice_key: str | None = Keys.SLICE
    spatial_key: str = Keys.SPATIAL
    layer: str | None = None
    seed: int = 0

    def __post_init__(self):
        for name in ("cells_per_part", "max_clusters", "num_features", "max_length", "max_neighbors"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"'{name}' must be at least 1 (got {value})")
        for name in ("radius", "microns_per_unit"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"'{name}' must be positive and finite (got {value})")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"'alpha' must lie between 0 and 1 (got {self.alpha})")
        for name, known in (
            ("method", SpatialClusterData.methods),
            ("unit", NormalizePosition.units),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"Unknown {name} '{getattr(self, name)}'; known: {', '.join(known)}"
                )
