import logging

from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from stofm_pyg.transforms.check_positions import check_positions
from stofm_pyg.transforms.neighbors import neighbor_spacing

logger = logging.getLogger(__name__)


@functional_transform("normalize_spatial_position")
class NormalizePosition(BaseTransform):
    r"""Centers the positions of a slice and puts them into a unit in which distances of different
    slices compare (functional name: :obj:`normalize_spatial_position`).

    The unit is stored in :obj:`data.unit`. All units but :obj:`"official"` leave distances as they are
    up to one factor that rotation, translation and reflection of the slice do not change.

    Args:
        unit (str, optional): :obj:`"spacing"`, the median distance between nearest neighbours is one
            (see :meth:`~stofm_pyg.transforms.neighbors.neighbor_spacing`);
            :obj:`"micron"`; or :obj:`"official"`, the axis-aligned bounding box has a diagonal of 100,
            as in the official SToFM code: *not* invariant to rotation, for official weights only.
            (default: :obj:`"spacing"`)
        microns_per_unit (float, optional): The length of the input unit, for :obj:`unit="micron"`.
            (default: :obj:`1.0`)

    Raises:
        ValueError: The unit is unknown, or a length is not positive.
    """

    units = ("spacing", "micron", "official")

    def __init__(self, unit: str = "spacing", microns_per_unit: float = 1.0):
        if unit not in self.units:
            raise ValueError(f"Unknown unit '{unit}'; known: {', '.join(self.units)}")
        if not 0 < microns_per_unit < float("inf"):
            raise ValueError(
                f"'microns_per_unit' must be positive and finite (got {microns_per_unit})"
            )
        self.unit = unit
        self.microns_per_unit = microns_per_unit

    def forward(self, data: Data) -> Data:
        pos = check_positions(data.pos)
        pos = pos if pos.is_floating_point() else pos.float()
        if self.unit == "official":
            low, high = pos.amin(dim=0), pos.amax(dim=0)
            data.pos = (pos - (low + high) / 2) / (high - low).norm() * 100
        else:
            if self.unit == "spacing":
                spacing = neighbor_spacing(pos)
                factor = 1.0 / spacing.length
                if spacing.heaps:
                    logger.warning(
                        "%s: %d cells lie in %d heaps; the unit is the distance of the heaps, %g",
                        f"Slice '{data.name}'" if data.get("name") else "The slice",
                        pos.size(0),
                        spacing.num_places,
                        spacing.length,
                    )
            else:
                factor = self.microns_per_unit
            data.pos = (pos - pos.mean(dim=0)) * factor
        data.unit = self.unit
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(unit='{self.unit}')"
