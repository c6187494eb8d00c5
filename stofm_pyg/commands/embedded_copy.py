import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from anndata import AnnData
from anndata.io import read_elem, write_elem

from stofm_pyg._files import write_atomically
from stofm_pyg.commands.kept_embedding import mark_embedding
from stofm_pyg.commands.outputs import write_h5ad
from stofm_pyg.data import read
from stofm_pyg.data.readers import find_format
from stofm_pyg.data.readers.find import H5AD
from stofm_pyg.models import SToFM


def write_copy(
    source: Path,
    out: Path,
    key: str,
    z: np.ndarray,
    model: SToFM,
    seed: int,
    where: Mapping[str, Any],
):
    r"""Writes an h5ad copy of a source with the embedding of its cells, as a whole or not at all. An
    h5ad file is copied as it is, so that its counts are never in memory; what is of another format is
    read.

    Args:
        source (Path): The file or folder.
        out (Path): The copy.
        key (str): The key of the embedding in :obj:`obsm`.
        z (np.ndarray): The embedding :math:`(N, C)`.
        model (SToFM): The model that made it.
        seed (int): The seed.
        where (dict): Where things were found, if not where the model says.
    """
    if find_format(source).name != H5AD:
        adata = read(source)
        adata.obsm[key] = np.array(z)
        mark_embedding(adata, key, model, seed, where)
        write_h5ad(adata, out)
        return
    spatial_key = where.get("spatial_key", model.settings.spatial_key)

    def write(part: Path):
        shutil.copyfile(source, part)
        with h5py.File(part, "r+") as file:
            cells = AnnData(obs=read_elem(file["obs"])[[]])
            cells.obsm[spatial_key] = read_elem(file["obsm"][spatial_key])
            mark_embedding(cells, key, model, seed, where)
            write_elem(file["obsm"], key, np.asarray(z))
            if "uns" not in file:
                write_elem(file, "uns", {})
            for name, value in cells.uns.items():
                write_elem(file["uns"], name, value)

    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, write)
