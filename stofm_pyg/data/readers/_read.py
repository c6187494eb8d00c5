import logging
import os

from anndata import AnnData

from stofm_pyg.data.keys import Keys
from stofm_pyg.data.readers.assemble import assemble
from stofm_pyg.data.readers.find import H5AD, SPATIAL_DATA, find_format
from stofm_pyg.data.readers.format import Options
from stofm_pyg.data.readers.spatial_data import read_spatial_data
from stofm_pyg.data.readers.stores import open_h5ad, read_anndata_zarr

logger = logging.getLogger(__name__)


def read(
    path: str | os.PathLike,
    *,
    table: str | None = None,
    bin_size: float | None = None,
    backed: bool = False,
) -> AnnData:
    r"""Reads cells, counts and positions from a file or folder, of which the format is found.

    Known are h5ad, AnnData in zarr (version 2 or 3), SpatialData, and what instruments and their
    software write: folders of Visium, Visium HD, Xenium, MERSCOPE, CosMx and Slide-seq, and files or
    folders of Stereo-seq. One line in the log says what was found, and what was left out.

    Of what instruments write:

    * :obj:`X` holds counts (CSR, float32), and :obj:`var_names` symbols, numbered where they repeat.
      Control probes, blanks, and features that are no genes are left out, and a genome before the names
      of all genes, as in :obj:`"GRCh38_TP53"`.
    * :obj:`obsm["spatial"]` :math:`(N, 2)` is in microns where the format tells their length, which
      :obj:`uns["spatial_unit"]` says: :obj:`"micron"`, or else :obj:`"pixel"` or :obj:`"unknown"`.
    * :obj:`obs` holds what is known of the cells beside.

    Args:
        path (str or PathLike): The file or folder; of Visium and Xenium, that with :obj:`outs` in it,
            too.
        table (str, optional): The table of a SpatialData that has several. (default: :obj:`None`)
        bin_size (float, optional): The side of bins in microns, of Visium HD (2, 8, 16 or what is there)
            and Stereo-seq (multiples of 0.5). If :obj:`None`, they are 8 and 25, or cells where a file
            of Stereo-seq tells these. (default: :obj:`None`)
        backed (bool, optional): Leaves the counts of an h5ad file in the file. (default: :obj:`False`)

    Raises:
        FileNotFoundError: There is nothing, or a file lacks in a folder.
        ImportError: A package is not installed that the format needs; the message says how to get it.
        ValueError: It is of none of the formats, truncated or damaged, cells with counts have no
            positions, or an argument does not suit the format.

    Example:
        >>> adata = read("outs")  # Visium: 2,698 cells of 33,538 genes, positions in microns
        >>> adata.uns["spatial_unit"]
        'micron'
    """
    found = find_format(path)
    options = Options(found.table if table is None else table, bin_size)
    known = found.format.options if found.format is not None else ()
    for name, value in (("table", table), ("bin_size", bin_size)):
        suits = found.name == SPATIAL_DATA if name == "table" else name in known
        if value is not None and not suits:
            raise ValueError(f"'{name}' means nothing for '{path}', which is {found.name}; leave it out")
    notes: list[str] = []
    if found.format is not None:
        tissue = found.format.read(found.files, options)
        notes = tissue.notes
        adata = assemble(tissue, found.name)
    elif found.name == SPATIAL_DATA:
        adata = read_spatial_data(found.path, options, notes)
        adata.uns[Keys.FORMAT] = found.name
    else:
        adata = open_h5ad(found.path, backed) if found.name == H5AD else read_anndata_zarr(found.path)
    unit = adata.uns.get(Keys.UNIT)
    if unit is not None:
        notes.insert(0, "positions in microns" if unit == "micron" else f"unit of positions: {unit}")
    told = "; ".join(note for note in notes if note)
    logger.info(
        "'%s': %s, %s cells of %s genes%s",
        path, found.name, f"{adata.n_obs:,}", f"{adata.n_vars:,}", f"; {told}" if told else "",
    )  # fmt: skip
    return adata
