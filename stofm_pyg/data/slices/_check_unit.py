import logging

from stofm_pyg.data.slices.settings import SliceSettings

logger = logging.getLogger(__name__)


def check_unit(unit: str | None, settings: SliceSettings) -> None:
    r"""Says so where settings take positions for another unit than that in which they are known to be.

    Args:
        unit (str, optional): The unit of the positions, as :meth:`~stofm_pyg.data.read` keeps it in
            :obj:`adata.uns["spatial_unit"]`; :obj:`None` where nothing is known.
        settings (SliceSettings): How slices are made.
    """
    if settings.unit != "micron" or unit is None:
        return
    given = settings.microns_per_unit
    if unit == "micron" and given != 1.0:
        logger.warning("Positions are in microns already; 'microns_per_unit=%g' scales them", given)
    elif unit != "micron" and given == 1.0:
        logger.warning(
            "The unit of positions (%s) is taken for a micron: 'microns_per_unit=' says its length", unit
        )
