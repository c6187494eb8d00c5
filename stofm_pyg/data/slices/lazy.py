from collections.abc import Iterator
from typing import Any

import pandas as pd
from anndata import AnnData


def with_tables(adata: AnnData) -> AnnData:
    r"""Returns a lazy :class:`~anndata.AnnData` (see :obj:`anndata.experimental.read_lazy`) with its
    tables of cells and genes in memory, its matrices as they are; any other as it is."""
    if isinstance(adata.obs, pd.DataFrame):
        return adata
    return AnnData(
        adata.X,
        obs=adata.obs.to_memory(),
        var=adata.var.to_memory(),
        obsm={key: _in_memory(value) for key, value in adata.obsm.items()},
        layers=dict(adata.layers),
        uns={key: value for key, value in adata.uns.items() if isinstance(value, (str, float, int))},
    )


def is_lazy(matrix: Any) -> bool:
    r"""Whether a matrix is one of dask, which stays where it is until it is computed."""
    return hasattr(matrix, "dask") and hasattr(matrix, "compute")


def computed_rows(matrix: Any, rows: int | None = None) -> Iterator[Any]:
    r"""Yields a lazy matrix some rows at a time.

    Args:
        matrix (dask array): The matrix :math:`(N, G)`.
        rows (int, optional): How many; as they are kept without. (default: :obj:`None`)
    """
    sizes = matrix.chunks[0] if rows is None else [rows] * -(-matrix.shape[0] // rows)
    start = 0
    for size in sizes:
        yield matrix[start : start + size].compute()
        start += size


def _in_memory(value: Any) -> Any:
    return value.to_memory() if hasattr(value, "to_memory") else value
