"""One small tissue, written in the layout of each format."""

import gzip
import json
from dataclasses import dataclass, replace

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from scipy.io import mmwrite
from scipy.spatial import cKDTree

PIXEL = 0.25  # microns, of pictures
COSMX_PIXEL = 0.120280945
CONTROLS = {
    "tenx": ["NegControlProbe_00031", "UnassignedCodeword_0037", "BLANK_0180"],
    "merscope": ["Blank-1", "Blank-22"],
    "cosmx": ["NegPrb1", "Negative10", "SystemControl3"],
}


@dataclass
class Made:
    counts: np.ndarray
    genes: list
    pos: np.ndarray  # microns
    lattice: np.ndarray  # rows and columns of Visium

    @property
    def adata(self):
        out = AnnData(sparse.csr_matrix(self.counts.astype(np.float32)))
        out.var_names = self.genes
        out.obs_names = [f"cell{i}" for i in range(len(self.counts))]
        out.obsm["spatial"] = self.pos
        return out

    def with_genes(self, genes):
        return replace(self, genes=list(genes))

    def with_controls(self, names):
        """Genes and some controls with counts, of which one comes first."""
        noise = np.full((len(self.counts), len(names)), 3)
        counts = np.column_stack([noise[:, :1], self.counts, noise[:, 1:]])
        return counts, [names[0], *self.genes, *names[1:]]

    def check(self, adata, atol=1e-3):
        """Whether an AnnData holds the cells at their places with their counts."""
        assert adata.n_obs == len(self.counts) and sorted(adata.var_names) == sorted(self.genes)
        distance, rows = cKDTree(self.pos).query(adata.obsm["spatial"])
        assert distance.max() <= atol and len(set(rows)) == len(rows)
        assert sparse.issparse(adata.X) and adata.X.format == "csr" and adata.X.dtype == np.float32
        np.testing.assert_array_equal(adata[:, self.genes].X.toarray(), self.counts[rows])


@pytest.fixture(scope="session")
def tissue():
    rng = np.random.default_rng(0)
    row, col = np.divmod(np.arange(49), 7)
    col = 2 * col + row % 2
    pos = np.stack([50.0 * col, 100 * np.sqrt(0.75) * row], axis=1) + 300
    genes = ["GAPDH", "TP53", "CD3E", "MS4A1", "EPCAM", "ALB"]
    counts = rng.poisson(2.0, (49, 6))
    counts[:, 0] += 1
    return Made(counts, genes, pos, np.stack([row + 4, col + 10], axis=1))


def barcodes(number):
    return [f"{'ACGT'[i % 4]}{'ACGT'[i // 4 % 4]}{'ACGT'[i // 16 % 4]}GATTACA-1" for i in range(number)]


def tenx_h5(path, counts, names, genes, types=None):
    matrix = sparse.csr_matrix(counts.astype(np.int32))
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["data"], group["indices"], group["indptr"] = matrix.data, matrix.indices, matrix.indptr
        group["shape"] = np.array(matrix.shape[::-1], dtype=np.int32)
        group.create_dataset("barcodes", data=names, dtype=text)
        features = group.create_group("features")
        values = {"name": genes, "id": [f"ENSG{i:011d}" for i in range(len(genes))],
                  "feature_type": types or ["Gene Expression"] * len(genes)}  # fmt: skip
        for key, value in values.items():
            features.create_dataset(key, data=value, dtype=text)


def tenx_mtx(folder, counts, names, genes, types=None):
    folder.mkdir(parents=True)
    with gzip.open(folder / "matrix.mtx.gz", "wb") as file:
        mmwrite(file, sparse.csc_matrix(counts.T.astype(np.int32)))
    types = types or ["Gene Expression"] * len(genes)
    rows = enumerate(zip(genes, types, strict=True))
    lines = [f"ENSG{i:011d}\t{gene}\t{kind}\n" for i, (gene, kind) in rows]
    with gzip.open(folder / "features.tsv.gz", "wt") as file:
        file.writelines(lines)
    with gzip.open(folder / "barcodes.tsv.gz", "wt") as file:
        file.writelines(f"{name}\n" for name in names)


def visium_positions(tissue, outside=5):
    """The table of all places; the last ones are outside of the tissue."""
    row, col = np.divmod(np.arange(outside), outside)
    lattice = np.concatenate([tissue.lattice, np.stack([row + 2, 2 * col + 10], axis=1)])
    pos = (lattice[:, ::-1] - tissue.lattice[0, ::-1]) * [50, 100 * np.sqrt(0.75)] + tissue.pos[0]
    names = barcodes(len(pos))
    table = pd.DataFrame({"barcode": names, "in_tissue": 1})
    table.loc[len(tissue.counts) :, "in_tissue"] = 0
    table[["array_row", "array_col"]] = lattice
    table["pxl_row_in_fullres"], table["pxl_col_in_fullres"] = pos[:, 1] / PIXEL, pos[:, 0] / PIXEL
    return table


def visium(folder, tissue, *, header=True, mtx=False, raw=False):
    (folder / "spatial").mkdir(parents=True)
    table = visium_positions(tissue)
    table = table.sample(frac=1, random_state=0)
    name = "tissue_positions.csv" if header else "tissue_positions_list.csv"
    table.to_csv(folder / "spatial" / name, index=False, header=header)
    scale = {"spot_diameter_fullres": 91.0, "tissue_hires_scalef": 0.1}
    (folder / "spatial" / "scalefactors_json.json").write_text(json.dumps(scale))
    counts = tissue.counts
    if raw:
        counts = np.concatenate([counts, np.ones((5, counts.shape[1]), dtype=int)])
    form = "raw_feature_bc_matrix" if raw else "filtered_feature_bc_matrix"
    names = barcodes(len(counts))
    if mtx:
        tenx_mtx(folder / form, counts, names, tissue.genes)
    else:
        tenx_h5(folder / f"{form}.h5", counts, names, tissue.genes)
    return folder


def visium_hd(folder, tissue, sizes=(8, 16)):
    for size in sizes:
        inner = folder / "binned_outputs" / f"square_{size:03d}um"
        (inner / "spatial").mkdir(parents=True)
        table = visium_positions(tissue)
        table.to_parquet(inner / "spatial" / "tissue_positions.parquet")
        scale = {"microns_per_pixel": PIXEL, "bin_size_um": float(size)}
        (inner / "spatial" / "scalefactors_json.json").write_text(json.dumps(scale))
        counts = tissue.counts * (size // 8)
        tenx_h5(inner / "filtered_feature_bc_matrix.h5", counts, barcodes(len(counts)), tissue.genes)
    return folder


def xenium(folder, tissue, *, mtx=False, parquet=False, controls=True):
    folder.mkdir(parents=True)
    counts, genes = tissue.counts, tissue.genes
    if controls:
        counts, genes = tissue.with_controls(CONTROLS["tenx"])
    kinds = {"Neg": "Negative Control Probe", "Una": "Unassigned Codeword", "BLA": "Blank Codeword"}
    types = [kinds.get(gene[:3], "Gene Expression") for gene in genes]
    names = [f"aaaa{i}-1" for i in range(len(counts))]
    if mtx:
        tenx_mtx(folder / "cell_feature_matrix", counts, names, genes, types)
    else:
        tenx_h5(folder / "cell_feature_matrix.h5", counts, names, genes, types)
    table = pd.DataFrame({"cell_id": names})
    table[["x_centroid", "y_centroid"]] = tissue.pos
    table["cell_area"] = np.arange(len(names)) + 20.5
    if parquet:
        table["cell_id"] = [name.encode() for name in names]
        table.to_parquet(folder / "cells.parquet")
    else:
        table.to_csv(folder / "cells.csv.gz", index=False)
    return folder


def merscope(folder, tissue, *, controls=True):
    folder.mkdir(parents=True)
    counts, genes = tissue.counts, tissue.genes
    if controls:
        counts, genes = tissue.with_controls(CONTROLS["merscope"])
    names = [str(110883424764611924400221639916314253469 + i) for i in range(len(counts))]
    pd.DataFrame(counts, columns=genes, index=pd.Index(names, name="cell")).to_csv(
        folder / "cell_by_gene.csv"
    )
    table = pd.DataFrame({"fov": 3, "volume": 500.5}, index=pd.Index(names, name="EntityID"))
    table[["center_x", "center_y"]] = tissue.pos
    table.iloc[::-1].to_csv(folder / "cell_metadata.csv")
    return folder


def cosmx(folder, tissue, *, controls=True, pixel=None, named=False):
    folder.mkdir(parents=True)
    counts, genes = tissue.counts, tissue.genes
    if controls:
        counts, genes = tissue.with_controls(CONTROLS["cosmx"])
    number = np.arange(len(counts))
    keys = pd.DataFrame({"fov": 1 + number // 25, "cell_ID": 1 + number % 25})
    table = pd.DataFrame(counts, columns=genes)
    table = pd.concat([keys, table], axis=1)
    rest = pd.DataFrame(np.full((1, table.shape[1]), 9), columns=table.columns).assign(fov=1, cell_ID=0)
    table = pd.concat([rest, table])  # What lies in no cell of the field.
    if named:
        cell = "c_1_" + table["fov"].astype(str) + "_" + table["cell_ID"].astype(str)
        table.insert(0, "cell", cell)
    table.to_csv(folder / "Run1_S1_exprMat_file.csv", index=False)
    size = COSMX_PIXEL if pixel is None else pixel
    keys["Area"] = 4000
    keys[["CenterX_global_px", "CenterY_global_px"]] = tissue.pos / size
    keys.to_csv(folder / "Run1_S1_metadata_file.csv", index=False)
    if pixel is not None:
        fields = pd.DataFrame({"FOV": [1, 2], "x_global_px": [0.0, 4000.0], "y_global_px": [0.0, 500.0]})
        fields[["x_global_mm", "y_global_mm"]] = fields[["x_global_px", "y_global_px"]] * pixel / 1000
        fields.to_csv(folder / "Run1_S1_fov_positions_file.csv", index=False)
    return folder


def gem_records(tissue):
    """Each cell's counts at its spot, those of GAPDH, of which all cells have some, beside it, too."""
    cell, gene = np.nonzero(tissue.counts)
    spot = np.rint(tissue.pos / 0.5).astype(int)
    table = pd.DataFrame({"geneID": np.array(tissue.genes)[gene]})
    table[["x", "y"]] = spot[cell]
    table["MIDCount"] = tissue.counts[cell, gene]
    table["CellID"] = cell + 1
    return table


def stereo_seq(folder, tissue, *, cells=True):
    folder.mkdir(parents=True)
    table = gem_records(tissue)
    stray = table.iloc[:3].assign(CellID=0) if cells else table.iloc[:0]
    table = pd.concat([stray, table])
    table = table if cells else table.drop(columns="CellID")
    with gzip.open(folder / "SS200.tissue.gem.gz", "wt") as file:
        file.write("#FileFormat=GEMv0.1\n#SortedBy=None\n#OffsetX=0\n")
        table.to_csv(file, sep="\t", index=False)
    return folder


def slide_seq(folder, tissue, *, header=True):
    folder.mkdir(parents=True)
    names = barcodes(len(tissue.counts))
    table = pd.DataFrame(tissue.counts.T, columns=names, index=pd.Index(tissue.genes, name="GENE"))
    table.to_csv(folder / "Puck_1.digital_expression.txt.gz", sep="\t")
    beads = pd.DataFrame({"barcodes": names, "xcoord": tissue.pos[:, 0], "ycoord": tissue.pos[:, 1]})
    beads.iloc[::-1].to_csv(folder / "Puck_1_bead_locations.csv", index=False, header=header)
    return folder


def h5ad(folder, tissue):
    folder.mkdir(parents=True)
    tissue.adata.write_h5ad(folder / "tissue.h5ad")
    return folder / "tissue.h5ad"


def anndata_zarr(folder, tissue, version=2):
    pytest.importorskip("zarr", minversion="3")
    with anndata.settings.override(zarr_write_format=version):
        tissue.adata.write_zarr(folder)
    return folder


WRITERS = {
    "h5ad": h5ad,
    "AnnData zarr": anndata_zarr,
    "Visium": visium,
    "Visium HD": visium_hd,
    "Xenium": xenium,
    "MERSCOPE": merscope,
    "CosMx": cosmx,
    "Stereo-seq": stereo_seq,
    "Slide-seq": slide_seq,
}


@pytest.fixture(scope="session")
def write(tissue):
    """Writes the tissue, or another, in the layout of a format."""

    def write(name, folder, made=None, **options):
        return WRITERS[name](folder, tissue if made is None else made, **options)

    return write
