import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import read_elem, sparse_dataset
from scipy import sparse

from stofm_pyg.data import Keys
from stofm_pyg.data.errors import unknown_key
from stofm_pyg.data.slices.files import unreadable
from stofm_pyg.data.slices.rows import slice_rows

ROWS_PER_READ = 4096
VALUES_PER_READ = 2**24


class SliceReader:
    r"""Reads the slices of an h5ad file one at a time.

    AnnData's backed mode reads all layers and pairwise matrices when it opens a file. Here only the rows
    of one slice come into memory, sparse, of whichever layer the counts are in.

    Args:
        path (str or PathLike): The file.
        slice_key (str, optional): The column of :obj:`obs` that tells slices apart; a file without the
            column :obj:`"slice"` is one slice. If :obj:`None`, the file is one.
            (default: :obj:`"slice"`)

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged or no h5ad file, or there is no such column.
    """

    def __init__(self, path: str | os.PathLike, slice_key: str | None = Keys.SLICE):
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"There is no file '{self.path}'. Check the path.")
        with _damage_named(self.path), h5py.File(self.path, "r") as file:
            obs = file.get("obs")
            if not isinstance(obs, h5py.Group) or not isinstance(file.get("var"), h5py.Group):
                raise ValueError(
                    f"'{self.path}' is no h5ad file, or one of a very old anndata: it has no groups "
                    f"'obs' and 'var'. Write it with 'anndata.read_h5ad(...).write_h5ad(...)'."
                )
            self.num_cells = len(obs[obs.attrs["_index"]])
            if slice_key == Keys.SLICE and slice_key not in obs:
                slice_key = None
            columns = {}
            if slice_key is not None:
                if slice_key not in obs:
                    names = [name for name in obs if name != obs.attrs["_index"]]
                    raise unknown_key(slice_key, "adata.obs", names, "Name it by 'slice_key='.")
                columns = {slice_key: read_elem(obs[slice_key])}
        table = pd.DataFrame(columns, index=pd.RangeIndex(self.num_cells).astype(str))
        #: The rows of each slice, rising, by its name.
        self.rows: dict[str, np.ndarray] = dict(slice_rows(AnnData(obs=table), slice_key))

    def read(
        self, name: str, layer: str | None = None, spatial_key: str = Keys.SPATIAL
    ) -> AnnData:
        r"""Returns the counts (CSR), genes and positions of a slice. Cells are named by their row.

        Args:
            name (str): The name of the slice, :obj:`""` where a file is one.
            layer (str, optional): The layer of the counts. (default: :obj:`None`)
            spatial_key (str, optional): The key of the positions. (default: :obj:`"spatial"`)
        """
        rows = self.rows[name]
        with _damage_named(self.path), h5py.File(self.path, "r") as file:
            obsm = file.get("obsm", {})
            if spatial_key not in obsm:
                raise unknown_key(
                    spatial_key, "adata.obsm", obsm, "Pass 'spatial_key=' with that of the positions."
                )
            if layer is not None and layer not in file.get("layers", {}):
                raise unknown_key(layer, "adata.layers", file.get("layers", {}))
            if layer is None and "X" not in file:
                raise ValueError(
                    f"'adata.X' is empty. Pass 'layer=' with one of {list(file.get('layers', {}))}."
                )
            pos = np.asarray(read_elem(obsm[spatial_key]))[rows]
            counts = _read_rows(file["X"] if layer is None else file["layers"][layer], rows)
            var = read_elem(file["var"])
        out = AnnData(counts, obs=pd.DataFrame(index=rows.astype(str)), var=var)
        out.obsm[spatial_key] = pos
        return out

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}('{self.path}', slices={len(self.rows)})"


class _damage_named:
    # h5py's errors say neither which file it was nor what to do.
    def __init__(self, path: Path):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, (OSError, RuntimeError, KeyError)) and not isinstance(
            error, (PermissionError, BlockingIOError)
        ):
            raise unreadable(self.path, error) from error


def _read_rows(stored: h5py.Group | h5py.Dataset, rows: np.ndarray) -> sparse.csr_matrix:
    if isinstance(stored, h5py.Dataset):
        step = max(1, min(ROWS_PER_READ, VALUES_PER_READ // max(1, stored.shape[1])))
        return _read_blocks(stored, rows, step)
    counts = sparse_dataset(stored)
    if counts.format == "csr":
        return _read_blocks(counts, rows, ROWS_PER_READ)
    return _read_columns(counts, stored["indptr"][:], rows)


def _read_blocks(stored, rows: np.ndarray, step: int) -> sparse.csr_matrix:
    # Cells of several slices may lie mixed: whole blocks are read, and their rows chosen in memory.
    parts, done = [], 0
    while done < len(rows):
        start = int(rows[done])
        end = int(np.searchsorted(rows, start + step))
        chosen = rows[done:end] - start
        block = sparse.csr_matrix(stored[start : start + int(chosen[-1]) + 1])
        parts.append(block[chosen].astype(np.float32))
        done = end
    return sparse.vstack(parts, format="csr")


def _read_columns(stored, indptr: np.ndarray, rows: np.ndarray) -> sparse.csr_matrix:
    # Of counts that are stored by gene, some genes at a time.
    parts, start, num_genes = [], 0, stored.shape[1]
    while start < num_genes:
        end = int(np.searchsorted(indptr, indptr[start] + VALUES_PER_READ, side="right")) - 1
        end = min(max(end, start + 1), num_genes)
        block = sparse.csr_matrix(stored[:, start:end])
        parts.append(block[rows].astype(np.float32))
        start = end
    return sparse.hstack(parts, format="csr")
