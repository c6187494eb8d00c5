from pathlib import Path

import h5py
import pandas as pd
from scipy import sparse
from scipy.io import mmread

from stofm_pyg.data.readers.assemble import controls
from stofm_pyg.data.readers.damage import damage_named, unreadable
from stofm_pyg.data.readers.tables import read_table

GENE = "Gene Expression"


def read_tenx(path: Path) -> tuple[sparse.csr_matrix, pd.Index, pd.DataFrame]:
    r"""Reads counts as the instruments of 10x write them: an HDF5 file, or a folder with a Matrix Market
    file and the names beside it.

    Args:
        path (Path): The HDF5 file, or the Matrix Market file.

    Returns:
        Counts :math:`(N, G)`, the barcodes of the cells :math:`(N)`, and the genes :math:`(G)` by
        symbol, with :obj:`gene_ids` and :obj:`control`.

    Raises:
        ValueError: A file is truncated, damaged, or of another version.
    """
    counts, barcodes, features = _read_h5(path) if path.suffix == ".h5" else _read_mtx(path)
    if counts.shape != (len(barcodes), len(features)):
        found = f"{len(barcodes)} barcodes and {len(features)} features for {counts.shape}"
        raise unreadable(path, found, "matrix of 10x")
    genes = features.set_index("name")
    kind = genes.pop("feature_type").astype(str)
    genes["control"] = controls(genes.index)
    other = (kind != GENE) & (genes["control"] == "")
    genes.loc[other.to_numpy(), "control"] = kind[other].str.lower() + " feature"
    return counts, pd.Index(barcodes, dtype=object), genes


def _read_h5(path: Path) -> tuple[sparse.csr_matrix, list[str], pd.DataFrame]:
    with damage_named(path, "HDF5 file of 10x"), h5py.File(path, "r") as file:
        group = file.get("matrix")
        if group is None or "features" not in group:
            raise unreadable(path, "it has no 'matrix/features'", "HDF5 file of 10x, version 3")
        arrays = (group["data"][:], group["indices"][:], group["indptr"][:])
        # By barcode: what a CSC matrix of genes by cells is, is CSR the other way round.
        counts = sparse.csr_matrix(arrays, shape=tuple(group["shape"][:][::-1]))
        features = group["features"]
        names = {"name": features["name"], "gene_ids": features["id"]}
        names["feature_type"] = features["feature_type"]
        table = pd.DataFrame({key: values.asstr()[:] for key, values in names.items()})
        return counts, group["barcodes"].asstr()[:].tolist(), table


def _read_mtx(path: Path) -> tuple[sparse.csr_matrix, list[str], pd.DataFrame]:
    with damage_named(path, "Matrix Market file"):
        counts = sparse.csr_matrix(mmread(path).T)
    features = read_table(_beside(path, ("features.tsv", "genes.tsv")), header=False, text=[0, 1])
    barcodes = read_table(_beside(path, ("barcodes.tsv",)), header=False, text=[0])
    if len(features.columns) < 2:
        raise unreadable(path.parent, "its features have one column", "matrix of 10x")
    table = pd.DataFrame({"name": features[1], "gene_ids": features[0]})
    table["feature_type"] = features[2].fillna(GENE) if 2 in features else GENE
    return counts, barcodes[0].tolist(), table


def _beside(path: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        for file in (path.parent / f"{name}.gz", path.parent / name):
            if file.is_file():
                return file
    raise FileNotFoundError(f"There is no '{names[0]}' beside '{path}'; copy the whole folder")
