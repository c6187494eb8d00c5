import h5py
import numpy as np
from anndata import AnnData
from anndata.io import sparse_dataset
from scipy import sparse

from stofm_pyg.data.open_anndata import unreadable
from stofm_pyg.data.unknown_key import unknown_key

ROWS_PER_READ = 4096


def get_matrix(adata: AnnData, layer: str | None = None) -> sparse.csr_matrix:
    r"""Returns :obj:`adata.X` or a layer as a sparse float32 matrix in canonical CSR format.

    Backed counts are read in blocks of rows, so that a dense matrix on disk is never dense in
    memory as a whole (only a view of one is read at once, by AnnData). Arrays that have the right
    type and order already are shared, not copied: do not write into the result.

    Args:
        adata (AnnData): Cells by genes: CSR, CSC or dense, in memory, a view, or backed.
        layer (str, optional): A key of :obj:`adata.layers`. If :obj:`None`, takes :obj:`adata.X`.
            (default: :obj:`None`)

    Shapes:
        - **output:** :math:`(N, G)` for :math:`N` cells and :math:`G` genes, without duplicates or
          explicit zeros, columns sorted within a row.
    """
    if layer is not None:
        if layer not in adata.layers:
            raise unknown_key(layer, "adata.layers", adata.layers)
        return _canonical(adata.layers[layer], f"adata.layers[{layer!r}]")

    if adata.isbacked:
        if not adata.file.is_open:
            adata.file.open()
        present = "X" in adata.file
    else:
        present = adata.X is not None
    if not present:
        raise ValueError(
            f"'adata.X' is empty. Pass 'layer=' with one of {list(adata.layers)}, or 'features=' "
            f"with one of {list(adata.obsm)} in 'adata.obsm'."
        )
    if not adata.isbacked:
        return _canonical(adata.X, "adata.X")

    try:
        return _read_backed(adata)
    except OSError as error:
        raise unreadable(adata.filename, error) from error


def _read_backed(adata: AnnData) -> sparse.csr_matrix:
    stored = adata.file["X"]
    if adata.is_view:  # AnnData reads the rows of a backed view at once, and makes no view of it.
        return _canonical(adata.X, "adata.X")
    if isinstance(stored, h5py.Group) and sparse_dataset(stored).format == "csc":
        # Rows of a CSC matrix are scattered over all of the file: read it once.
        return _canonical(sparse_dataset(stored).to_memory(), "adata.X")

    blocks = [
        _canonical(adata[start : start + ROWS_PER_READ].X, "adata.X")
        for start in range(0, adata.n_obs, ROWS_PER_READ)
    ]
    if not blocks:
        return sparse.csr_matrix(adata.shape, dtype=np.float32)
    return blocks[0] if len(blocks) == 1 else sparse.vstack(blocks, format="csr")


def _canonical(matrix: np.ndarray | sparse.spmatrix, name: str) -> sparse.csr_matrix:
    if not sparse.issparse(matrix) and not isinstance(matrix, np.ndarray):
        raise TypeError(
            f"'{name}' is a {type(matrix).__module__}.{type(matrix).__name__}, expected a NumPy "
            f"array or a SciPy sparse matrix. Call 'adata = adata.to_memory()' first."
        )
    matrix = sparse.csr_matrix(matrix)
    if matrix.dtype != np.float32:
        matrix = matrix.astype(np.float32)
    if not matrix.has_canonical_format or not matrix.data.all():
        matrix = matrix.copy()
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    return matrix
