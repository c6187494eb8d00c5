from collections.abc import Sequence

import numpy as np
from scipy import sparse

VALUES_PER_BLOCK = 2**16


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
