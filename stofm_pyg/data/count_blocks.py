from collections.abc import Iterator

import h5py
from anndata import AnnData
from anndata.io import sparse_dataset
from scipy import sparse

from stofm_pyg.data.get_matrix import ROWS_PER_READ, get_matrix


def count_blocks(
    adata: AnnData, layer: str | None = None, rows: int = ROWS_PER_READ
) -> Iterator[sparse.csr_matrix]:
    r"""Yields the rows of :obj:`adata.X` or a layer in blocks, each as :meth:`get_matrix` returns
    it; of counts that stay on disk, one block is in memory at a time.

    Counts in memory, and those that are stored by columns (CSC), are taken as a whole.

    Args:
        adata (AnnData): Cells by genes.
        layer (str, optional): A key of :obj:`adata.layers`. (default: :obj:`None`)
        rows (int, optional): Number of cells in a block. (default: :obj:`4096`)
    """
    if layer is None and _stored_by_rows(adata):
        for start in range(0, adata.n_obs, rows):
            yield get_matrix(adata[start : start + rows])
        return
    counts = get_matrix(adata, layer)
    if counts.shape[0] <= rows:
        yield counts
        return
    for start in range(0, counts.shape[0], rows):
        yield counts[start : start + rows]


def _stored_by_rows(adata: AnnData) -> bool:
    if not adata.isbacked:
        return False
    if not adata.file.is_open:
        adata.file.open()
    stored = adata.file["X"] if "X" in adata.file else None
    if isinstance(stored, h5py.Group):
        return sparse_dataset(stored).format == "csr"
    return stored is not None
