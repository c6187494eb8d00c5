import hashlib
import os
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import read_elem, sparse_dataset
from scipy import sparse

from stofm_pyg.data.errors import NotInSource, unknown_key
from stofm_pyg.data.keys import Keys
from stofm_pyg.data.readers import find_format, read
from stofm_pyg.data.readers.stores import opened_store
from stofm_pyg.data.slices._check_unit import check_unit
from stofm_pyg.data.slices.cell_order import name_order
from stofm_pyg.data.slices.counts import as_csr, canonical, get_matrix, validate_counts
from stofm_pyg.data.slices.lazy import with_tables
from stofm_pyg.data.slices.positions import get_positions
from stofm_pyg.data.slices.rows import PLANES, check_joined, has_slices, slice_rows
from stofm_pyg.data.slices.settings import SliceSettings

ROWS_PER_READ = 4096
VALUES_PER_READ = 2**24


class SliceReader:
    r"""Reads the slices of an :class:`~anndata.AnnData` or of a file or folder one at a time.

    AnnData's backed mode reads all layers and pairwise matrices when it opens a file. Here only the rows
    of one slice come into memory, sparse, of whichever layer the counts are in: of h5ad files, AnnData
    in zarr, and lazy AnnData. All other formats are read as a whole, by :meth:`~stofm_pyg.data.read`.

    Args:
        source (AnnData or str or PathLike): The AnnData (in memory, a view, backed, or lazy), or the
            file or folder.
        settings (SliceSettings, optional): Where slices, positions and counts are found.
            (default: :obj:`None`)
        required (bool, optional): Whether a source without the column of the settings is an error, or
            one slice. (default: :obj:`True`)

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: A package is not installed that the format needs.
        TypeError: The source is neither.
        ValueError: The file is damaged or of no format that is read, there is no such column, or slices
            that lie on one another would become one.
    """

    def __init__(
        self,
        source: AnnData | str | os.PathLike,
        settings: SliceSettings | None = None,
        required: bool = True,
    ):
        self.settings = settings or SliceSettings()
        self.adata = with_tables(source) if isinstance(source, AnnData) else None
        if self.adata is not None and self.adata.isbacked and self.adata.is_view:
            self.adata = self.adata.to_memory()  # AnnData makes no view of it.
        #: The file or folder, if it is one.
        self.path: Path | None = None
        if self.adata is None:
            if not isinstance(source, (str, os.PathLike)):
                raise TypeError(
                    f"Expected an AnnData or the path of a file or folder, got {type(source).__name__}"
                )
            self.path = Path(source).expanduser()
            if not find_format(self.path).is_store:
                self.adata = read(self.path)
        table = self.adata if self.adata is not None else self._table()
        settings = self.settings
        if not required and not has_slices(table, settings.slice_key, settings.spatial_key):
            self.settings = settings = settings.replace(slice_key=None)
        #: The rows of each slice, rising, by its name; :obj:`""` where all cells are one.
        self.rows: dict[str, np.ndarray] = dict(
            slice_rows(table, settings.slice_key, settings.spatial_key)
        )
        if settings.slice_key is None:
            check_joined(table, self._positions())
        check_unit(table.uns.get(Keys.UNIT), settings)
        self.num_cells = table.n_obs

    def read(self, name: str, obsm: str | None = None) -> AnnData:
        r"""Returns a slice: counts (CSR) as :obj:`X`, genes, and positions under their key.

        Args:
            name (str): The name of the slice.
            obsm (str, optional): The key in :obj:`adata.obsm` of features to take along; counts are left
                out then. (default: :obj:`None`)

        Raises:
            ValueError: There is no such slice, key or layer, or no counts.
        """
        if name not in self.rows:
            raise unknown_key(name, "reader.rows", self.rows)
        rows, keys = self.rows[name], [self.settings.spatial_key]
        if obsm is not None:
            keys.append(obsm)
        if self.adata is None:
            return self._read_file(rows, keys, obsm is None)
        for key in keys:
            self._check_obsm(key, self.adata.obsm)
        part = self.adata if len(rows) == self.num_cells else self.adata[rows]
        counts = get_matrix(part, self.settings.layer) if obsm is None else None
        return _assemble(counts, part.obs_names, part.var, {key: part.obsm[key] for key in keys})

    def read_by_name(self, name: str, obsm: str | None = None) -> tuple[AnnData, np.ndarray]:
        r"""Returns a slice as :meth:`read` does, with its cells in the order of :meth:`name_order`, and
        the row of each in the source :math:`(N)`: what is made of it does not depend on the order there.
        """
        adata = self.read(name, obsm)
        # While their rows are those of the source, which errors name.
        get_positions(adata, self.settings.spatial_key)
        if adata.X is not None:
            validate_counts(adata.X, "adata.X", adata.obs_names, adata.var_names)
        order = name_order(adata.obs_names)
        return adata[order].copy(), self.rows[name][order]

    def count_blocks(self, name: str) -> Iterator[sparse.csr_matrix]:
        r"""Yields the counts of a slice that :meth:`read` returns, some cells at a time, in the order of
        the source. Counts of a file that are stored by gene are read all at once.

        Args:
            name (str): The name of the slice.
        """
        rows = self.rows[name]
        if self.adata is None:
            with opened_store(self.path) as file:
                stored = self._stored_counts(file)
                for block in _row_blocks(stored, rows):
                    yield canonical(block, stored.name)
            return
        part = self.adata if len(rows) == self.num_cells else self.adata[rows]
        counts = get_matrix(part, self.settings.layer)
        for start in range(0, len(rows), ROWS_PER_READ):
            yield counts[start : start + ROWS_PER_READ]

    def _read_file(self, rows: np.ndarray, keys: list[str], with_counts: bool) -> AnnData:
        with opened_store(self.path) as file:
            known = file.get("obsm", {})
            for key in keys:
                self._check_obsm(key, known)
            counts = _read_rows(self._stored_counts(file), rows) if with_counts else None
            values = {key: _rows_of(read_elem(known[key]), rows) for key in keys}
            return _assemble(counts, self._names[rows], read_elem(file["var"]), values)

    def _stored_counts(self, file):
        # The group or array of the counts.
        layers, layer = file.get("layers", {}), self.settings.layer
        if layer is not None and layer not in layers:
            raise unknown_key(layer, "adata.layers", layers)
        if layer is None and "X" not in file:
            raise NotInSource(f"'adata.X' is empty. Pass 'layer=' with one of {list(layers)}.")
        return file["X"] if layer is None else layers[layer]

    def _table(self) -> AnnData:
        settings, planes = self.settings, None
        with opened_store(self.path) as file:
            obs = read_elem(file["obs"])
            uns = file.get("uns", {})
            unit = read_elem(uns[Keys.UNIT]) if Keys.UNIT in uns else None
            if settings.slice_key == PLANES and settings.spatial_key in file.get("obsm", {}):
                planes = np.asarray(read_elem(file["obsm"][settings.spatial_key]))
        self._names = obs.index.astype(str)
        table = AnnData(obs=obs.set_axis(self._names), uns={} if unit is None else {Keys.UNIT: unit})
        if planes is not None:
            table.obsm[settings.spatial_key] = planes
        return table

    def _positions(self) -> np.ndarray:
        settings = self.settings
        if self.adata is not None:
            return get_positions(self.adata, settings.spatial_key)
        with opened_store(self.path) as file:
            self._check_obsm(settings.spatial_key, file.get("obsm", {}))
            table = AnnData(obs=pd.DataFrame(index=self._names))
            table.obsm[settings.spatial_key] = read_elem(file["obsm"][settings.spatial_key])
        return get_positions(table, settings.spatial_key)

    def _check_obsm(self, key: str, known: Container[str]):
        if key not in known:
            where = key == self.settings.spatial_key
            mend = "Pass 'spatial_key=' with that of the positions." if where else ""
            raise unknown_key(key, "adata.obsm", known, mend)

    def __repr__(self) -> str:
        source = "AnnData" if self.path is None else f"'{self.path}'"
        return f"{self.__class__.__name__}({source}, slices={len(self.rows)})"


def content_hash(adata: AnnData) -> str:
    r"""Returns a hash of all that :meth:`SliceReader.read` returned, the same whatever it was read
    from."""
    digest = hashlib.sha256()
    for matrix in [adata.X, *(adata.obsm[key] for key in adata.obsm)]:
        if sparse.issparse(matrix):
            matrix = matrix.tocsr()
            arrays = (matrix.data, matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64))
        else:
            arrays = () if matrix is None else (np.asarray(matrix),)
        for array in arrays:
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    digest.update("\n".join([*adata.obs_names, *adata.var_names]).encode())
    return digest.hexdigest()


def _assemble(
    counts: sparse.csr_matrix | None, names: pd.Index, var: pd.DataFrame, obsm: dict[str, Any]
) -> AnnData:
    # Names are text, whatever they are kept as.
    obs, var = pd.DataFrame(index=names.astype(str)), var.set_axis(var.index.astype(str))
    shape = (len(obs), len(var)) if counts is None else None
    out = AnnData(counts, obs=obs, var=var, shape=shape)
    for key, value in obsm.items():
        out.obsm[key] = value.set_axis(obs.index) if isinstance(value, pd.DataFrame) else value
    return out


def _rows_of(values, rows: np.ndarray):
    return values.iloc[rows] if isinstance(values, pd.DataFrame) else values[rows]


def _read_rows(stored, rows: np.ndarray) -> sparse.csr_matrix:
    # Of a group (sparse) or array (dense) of HDF5 or zarr.
    return canonical(sparse.vstack(list(_row_blocks(stored, rows)), format="csr"), stored.name)


def _row_blocks(stored, rows: np.ndarray) -> Iterator[sparse.csr_matrix]:
    dense = hasattr(stored, "shape")
    counts = stored if dense else sparse_dataset(stored)
    if 0 in (len(rows), counts.shape[1]):
        yield sparse.csr_matrix((len(rows), counts.shape[1]), dtype=np.float32)
    elif not dense and counts.format == "csc":
        yield _read_columns(counts, stored["indptr"][:], rows)
    else:
        most = VALUES_PER_READ // counts.shape[1] if dense else ROWS_PER_READ
        yield from _read_blocks(counts, rows, max(1, min(ROWS_PER_READ, most)))


def _read_blocks(stored, rows: np.ndarray, step: int) -> Iterator[sparse.csr_matrix]:
    # Cells of several slices may lie mixed: whole blocks are read, and their rows chosen in memory.
    done = 0
    while done < len(rows):
        start = int(rows[done])
        end = int(np.searchsorted(rows, start + step))
        chosen = rows[done:end] - start
        block = as_csr(stored[start : start + int(chosen[-1]) + 1], "adata.X")
        yield block[chosen].astype(np.float32)
        done = end


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
