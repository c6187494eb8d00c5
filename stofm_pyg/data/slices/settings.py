import dataclasses
import difflib
import json
import math
import numbers
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np

from stofm_pyg.data.keys import Keys
from stofm_pyg.transforms import NormalizePosition

METHODS = ("metis", "grid")
# What decides which numbers a slice holds; the others say where they are found, or how they are cut.
OF_A_SLICE = ("unit", "radius", "max_neighbors", "virtual_cells", "max_clusters", "alpha")


@dataclass(frozen=True)
class SliceSettings:
    r"""How slices are made of an :class:`~anndata.AnnData`: what :meth:`from_anndata`,
    :meth:`slices_from_anndata`, :class:`~stofm_pyg.datasets.H5adSlices`, a corpus and a model have in
    common, and what is saved with each of them.

    Args:
        slice_key (str, optional): The column of :obj:`adata.obs` that tells slices apart, in the order
            of its categories, else of their first cell. An AnnData without a column :obj:`"slice"` is
            one slice; any other column must exist. :obj:`"z"` is the third coordinate of positions, too:
            each plane is a slice. If :obj:`None`, all cells are one slice.
            (default: :obj:`"slice"`)
        spatial_key (str, optional): The key in :obj:`adata.obsm` of the positions :math:`(N, 2)`, or
            :math:`(N, 3)` with a third coordinate that is one in each slice.
            (default: :obj:`"spatial"`)
        layer (str, optional): The key in :obj:`adata.layers` of the raw counts; if :obj:`None`, they are
            in :obj:`adata.X`. (default: :obj:`None`)
        unit (str, optional): The unit of positions, see
            :class:`~stofm_pyg.transforms.NormalizePosition`: :obj:`"spacing"` (median distance to the
            nearest neighbour), :obj:`"micron"` or :obj:`"official"`. (default: :obj:`"spacing"`)
        microns_per_unit (float, optional): The length in microns of the unit of the positions in the
            AnnData, for :obj:`unit="micron"`; :meth:`~stofm_pyg.data.read` gives microns where the
            format tells them. (default: :obj:`1.0`)
        radius (float, optional): Cells up to this distance, in :obj:`unit`, are joined. If :obj:`None`,
            there are no edges. (default: :obj:`8.0`)
        max_neighbors (int, optional): Keeps only the nearest neighbours, see
            :class:`~stofm_pyg.transforms.SpatialRadiusGraph`. (default: :obj:`None`)
        virtual_cells (bool, optional): Adds virtual cells, see
            :class:`~stofm_pyg.transforms.AddVirtualCells`. (default: :obj:`True`)
        max_clusters (int, optional): The largest number of virtual cells. (default: :obj:`50`)
        alpha (float, optional): The weight of positions against features in the clusters.
            (default: :obj:`0.2`)
        cells_per_part (int, optional): The wanted number of cells of a subpatch.
            (default: :obj:`1000`)
        method (str, optional): How a slice is cut into subpatches, see
            :class:`~stofm_pyg.loader.SpatialClusterData`. (default: :obj:`"metis"`)
        num_features (int, optional): The number of principal components, where they are the features.
            (default: :obj:`50`)
        max_length (int, optional): The most tokens of a cell, CLS included, that a corpus keeps.
            (default: :obj:`2048`)
        orthologues (str, optional): A table of mouse genes and their human genes, for tokens, see
            :meth:`GeneVocab.map <stofm_pyg.data.GeneVocab.map>`. (default: :obj:`None`)
        seed (int, optional): The seed of components, clusters and subpatches. (default: :obj:`0`)

    Raises:
        TypeError: A value is of another type.
        ValueError: A number is out of its range, or a name unknown.
    """

    slice_key: str | None = Keys.SLICE
    spatial_key: str = Keys.SPATIAL
    layer: str | None = None
    unit: str = "spacing"
    microns_per_unit: float = 1.0
    radius: float | None = 8.0
    max_neighbors: int | None = None
    virtual_cells: bool = True
    max_clusters: int = 50
    alpha: float = 0.2
    cells_per_part: int = 1000
    method: str = "metis"
    num_features: int = 50
    max_length: int = 2048
    orthologues: str | None = None
    seed: int = 0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.generic):  # Which JSON does not know.
                value = value.item()
                object.__setattr__(self, field.name, value)
            _check_type(field.name, value, field.type)
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"'seed' must lie between 0 and 2**32 - 1 (got {self.seed})")
        for name in ("cells_per_part", "max_clusters", "num_features", "max_length", "max_neighbors"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"'{name}' must be at least 1 (got {value})")
        for name in ("radius", "microns_per_unit"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"'{name}' must be positive and finite (got {value})")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"'alpha' must lie between 0 and 1 (got {self.alpha})")
        for name, known in (("method", METHODS), ("unit", NormalizePosition.units)):
            if getattr(self, name) not in known:
                raise ValueError(f"Unknown {name} '{getattr(self, name)}'; known: {', '.join(known)}")

    def replace(self, **changes) -> "SliceSettings":
        r"""Returns the settings with some values changed.

        Raises:
            TypeError: There is no such setting; the message says what was likely meant.
            ValueError: A number is out of its range, or a name unknown.
        """
        known = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
                raise TypeError(f"There is no setting '{name}' of a slice; {hint}")
        return dataclasses.replace(self, **changes) if changes else self

    def differences(self, other: "SliceSettings") -> list[str]:
        r"""Returns in words which numbers of a slice other settings would make otherwise, as
        :obj:`"radius 8.0 instead of 2.5"`: those of :obj:`other` after *instead of*."""
        names = [name for name in OF_A_SLICE if getattr(self, name) != getattr(other, name)]
        if not (self.virtual_cells or other.virtual_cells):
            names = [name for name in names if name not in ("max_clusters", "alpha")]
        return [f"{name} {getattr(self, name)} instead of {getattr(other, name)}" for name in names]

    def to_dict(self) -> dict[str, Any]:
        r"""Returns plain values, from which :meth:`from_dict` makes the same settings."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SliceSettings":
        r"""Returns the settings that :meth:`to_dict` gave.

        Raises:
            TypeError: A setting is unknown.
            ValueError: A number is out of its range, or a name unknown.
        """
        return cls().replace(**values)

    def to_json(self) -> str:
        r"""Returns a line of JSON, which a slice carries as :obj:`data.settings`."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> "SliceSettings":
        r"""Reads a line that :meth:`to_json` gave.

        Raises:
            TypeError: A setting is unknown.
            ValueError: It is no JSON, or a setting is out of its range.
        """
        return cls.from_dict(json.loads(text))


def _check_type(name: str, value: Any, wanted: Any):
    # Of a union, the type that is not None; a whole number may stand for another.
    kind = next(item for item in get_args(wanted) or (wanted,) if item is not type(None))
    if value is None and type(None) in get_args(wanted):
        return
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not (isinstance(value, kind) or (whole and kind is float)) or (kind is int and not whole):
        raise TypeError(f"'{name}' takes a {kind.__name__} (got {value!r})")
