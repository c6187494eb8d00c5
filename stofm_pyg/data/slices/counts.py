from collections.abc import Iterator, Sequence

import h5py
import numpy as np
from anndata import AnnData
from anndata.io import sparse_dataset
from scipy import sparse

from stofm_pyg.data.errors import unknown_key
from stofm_pyg.data.readers.damage import unreadable
from stofm_pyg.data.slices.lazy import computed_rows, is_lazy

ROWS_PER_READ = 4096
VALUES_PER_BLOCK = 2**16


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

    Raises:
        TypeError: It is neither a NumPy array nor a SciPy sparse matrix.
        ValueError: There is no such layer, :obj:`adata.X` is empty, or the file is damaged.
    """
    if layer is not None:
        if layer not in adata.layers:
            raise unknown_key(layer, "adata.layers", adata.layers)
        return canonical(adata.layers[layer], f"adata.layers[{layer!r}]")

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
        return canonical(adata.X, "adata.X")

    try:
        return _read_backed(adata)
    except OSError as error:
        raise unreadable(adata.filename, error) from error


def _read_backed(adata: AnnData) -> sparse.csr_matrix:
    stored = adata.file["X"]
    if adata.is_view:  # AnnData reads the rows of a backed view at once, and makes no view of it.
        return canonical(adata.X, "adata.X")
    if isinstance(stored, h5py.Group) and sparse_dataset(stored).format == "csc":
        # Rows of a CSC matrix are scattered over all of the file: read it once.
        return canonical(sparse_dataset(stored).to_memory(), "adata.X")

    blocks = [
        canonical(adata[start : start + ROWS_PER_READ].X, "adata.X")
        for start in range(0, adata.n_obs, ROWS_PER_READ)
    ]
    if not blocks:
        return sparse.csr_matrix(adata.shape, dtype=np.float32)
    return blocks[0] if len(blocks) == 1 else sparse.vstack(blocks, format="csr")


def canonical(matrix: np.ndarray | sparse.spmatrix, name: str) -> sparse.csr_matrix:
    r"""Returns a matrix as :meth:`get_matrix` does.

    Args:
        matrix (np.ndarray or spmatrix or dask array): Cells by genes; what is lazy is computed some rows
            at a time.
        name (str): What the matrix is called in the error.

    Raises:
        TypeError: It is none of these.
    """
    if is_lazy(matrix):
        blocks = [canonical(block, name) for block in computed_rows(matrix)]
        return sparse.vstack(blocks, format="csr") if len(blocks) > 1 else blocks[0]
    if not sparse.issparse(matrix) and not isinstance(matrix, np.ndarray):
        raise TypeError(
            f"'{name}' is a {type(matrix).__module__}.{type(matrix).__name__}, expected a NumPy "
            f"array or a SciPy sparse matrix. Call 'adata = adata.to_memory()' first."
        )
    matrix = as_csr(matrix, name)
    if matrix.dtype != np.float32:
        matrix = matrix.astype(np.float32)
    if not matrix.has_canonical_format or not matrix.data.all():
        matrix = matrix.copy()
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    return matrix


def as_csr(matrix: np.ndarray | sparse.spmatrix, name: str) -> sparse.csr_matrix:
    r"""Returns a matrix as CSR, also one of a type that SciPy does not know.

    Args:
        matrix (np.ndarray or spmatrix): The matrix. What is masked in it is no number.
        name (str): What it is called in the error.

    Raises:
        TypeError: Its values are no real numbers.
    """
    wrong = matrix.dtype.kind not in "biufO"
    if isinstance(matrix, np.ma.MaskedArray) and matrix.mask.any():
        matrix = matrix.astype(np.float32).filled(np.nan)
    odd = matrix.dtype == object or matrix.dtype == np.float16 or not matrix.dtype.isnative
    if odd and not wrong:
        try:
            matrix = matrix.astype(np.float32)
        except (TypeError, ValueError):
            wrong = True
    if wrong:
        raise TypeError(
            f"'{name}' holds values of type {matrix.dtype}, which are no counts. Pass 'layer=' with the "
            f"layer that holds raw counts, or make them numbers by '.astype(\"float32\")'."
        )
    return sparse.csr_matrix(matrix)


def validate_counts(
    matrix: np.ndarray | sparse.spmatrix,
    name: str = "adata.X",
    cell_names: Sequence[str] | None = None,
    gene_names: Sequence[str] | None = None,
    *,
    first_cell: int = 0,
) -> None:
    r"""Checks that a matrix holds counts: finite whole numbers that are not negative.

    Only the stored values of a sparse matrix are looked at.

    Args:
        matrix (np.ndarray or spmatrix): Cells by genes, CSR, CSC or dense.
        name (str, optional): What the matrix is called in the error. (default: :obj:`"adata.X"`)
        cell_names (sequence of str, optional): Names of all cells. (default: :obj:`None`)
        gene_names (sequence of str, optional): Names of the columns. (default: :obj:`None`)
        first_cell (int, optional): The number of the cell in the first row, where the matrix is a
            part of a larger one. (default: :obj:`0`)

    Raises:
        ValueError: A value is not finite, negative or fractional; names the first one, its cell
            and its gene.
    """
    if sparse.issparse(matrix):
        matrix = matrix if matrix.format in ("csr", "csc") else matrix.tocsr()
        values = matrix.data
    else:
        matrix = np.asarray(matrix)
        values = matrix.reshape(-1)
    # Blocks that fit into a cache: nearly all counts are counts, and are read once.
    starts = range(0, values.size, VALUES_PER_BLOCK)
    if all(_are_counts(values[start : start + VALUES_PER_BLOCK]) for start in starts):
        return

    checks = {
        "non-finite": lambda: ~np.isfinite(values),
        "negative": lambda: values < 0,
        "fractional": lambda: values != np.rint(values),
    }
    for kind, check in checks.items():
        bad = check()
        num_bad = int(np.count_nonzero(bad))
        if num_bad == 0:
            continue
        first = int(np.argmax(bad))
        cell, gene = _locate(matrix, first)
        rows = f" of cells {first_cell:,} to {first_cell + matrix.shape[0] - 1:,}" if first_cell else ""
        raise ValueError(
            f"Expected counts in '{name}', found {num_bad:,} {kind} values of {values.size:,}{rows}: "
            f"{values[first]!s} in cell {_called(first_cell + cell, cell_names)} and gene "
            f"{_called(gene, gene_names)}. Pass 'layer=' with the layer that holds raw counts "
            f"(or 'adata.raw.to_adata()' if they are kept there). In place of counts, 'from_anndata' "
            f"also takes an embedding in 'adata.obsm', e.g. features='X_pca'."
        )


def _are_counts(values: np.ndarray) -> bool:
    if values.dtype.kind in "bu":
        return True
    smallest, largest = values.min(), values.max()
    if not (smallest >= 0 and largest < np.inf):  # NaN is in neither order.
        return False
    return values.dtype.kind == "i" or bool((np.rint(values) == values).all())


def _locate(matrix: np.ndarray | sparse.spmatrix, position: int) -> tuple[int, int]:
    if not sparse.issparse(matrix):
        return divmod(position, matrix.shape[1])
    major = int(np.searchsorted(matrix.indptr, position, side="right")) - 1
    minor = int(matrix.indices[position])
    return (major, minor) if matrix.format == "csr" else (minor, major)


def _called(number: int, names: Sequence[str] | None) -> str:
    return f"{number}" if names is None else f"{names[number]!r} (number {number})"


def get_counts(adata: AnnData, layer: str | None = None) -> sparse.csr_matrix:
    r"""Returns the counts of :obj:`adata.X` or a layer as :meth:`get_matrix` does, once they pass
    :meth:`validate_counts`.

    Args:
        adata (AnnData): Cells by genes.
        layer (str, optional): A key of :obj:`adata.layers`. (default: :obj:`None`)

    Raises:
        ValueError: There is no such layer, or a value is no count.
    """
    counts = get_matrix(adata, layer)
    name = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
    validate_counts(counts, name, adata.obs_names, adata.var_names)
    return counts


def count_blocks(
    adata: AnnData, layer: str | None = None, rows: int = ROWS_PER_READ
) -> Iterator[sparse.csr_matrix]:
    r"""Yields the rows of :obj:`adata.X` or a layer in blocks, each as :meth:`get_matrix` returns
    it; of counts that stay on disk, one block is in memory at a time.

    Counts in memory, and those that are stored by columns (CSC), are taken as a whole; of lazy ones, one
    block is computed at a time.

    Args:
        adata (AnnData): Cells by genes.
        layer (str, optional): A key of :obj:`adata.layers`. (default: :obj:`None`)
        rows (int, optional): Number of cells in a block. (default: :obj:`4096`)
    """
    if layer is None and _stored_by_rows(adata):
        for start in range(0, adata.n_obs, rows):
            yield get_matrix(adata[start : start + rows])
        return
    stored = adata.X if layer is None else adata.layers.get(layer)
    if is_lazy(stored):
        for block in computed_rows(stored, rows):
            yield canonical(block, "adata.X" if layer is None else f"adata.layers[{layer!r}]")
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
