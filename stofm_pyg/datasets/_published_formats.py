"""Reads the files that published data sets come in."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData, concat
from scipy import sparse

# Of the table of Moffitt et al., the genes that were counted, all at once; the others are intensities.
MERFISH_GENES = tuple(
    (
        "Ace2 Adora2a Aldh1l1 Amigo2 Ano3 Aqp4 Ar Arhgap36 Avpr1a Avpr2 Baiap2 Bdnf Bmp7 Brs3 Calcr "
        "Cbln1 Cbln2 Cckar Cckbr Ccnd2 Cd24a Cdkn1a Cenpe Chat Coch Col25a1 Cplx3 Cpne5 Creb3l1 "
        "Crhbp Crhr1 Crhr2 Cspg5 Cxcl14 Cyp19a1 Cyp26a1 Cyr61 Dgkk Ebf3 Egr2 Ermn Esr1 Etv1 Fbxw13 "
        "Fezf1 Fn1 Fst Gabra1 Gabrg1 Gad1 Galr1 Galr2 Gbx2 Gda Gem Gjc3 Glra3 Gpr165 Greb1 Grpr "
        "Htr2c Igf1r Igf2r Irs4 Isl1 Kiss1r Klf4 Krt90 Lepr Lmod1 Lpar1 Man1a Mc4r Mki67 Mlc1 Myh11 "
        "Ndnf Ndrg1 Necab1 Nos1 Npas1 Npy1r Npy2r Ntng1 Ntsr1 Nup62cl Omp Onecut2 Opalin Oprd1 "
        "Oprk1 Oprl1 Oxtr Pak3 Pcdh11x Pdgfra Pgr Plin3 Pnoc Pou3f2 Prlr Ramp3 Rgs2 Rgs5 Rnd3 Rxfp1 "
        "Scgn Selplg Sema3c Sema4d Serpinb1b Serpine1 Sgk1 Slc15a3 Slc17a6 Slc17a7 Slc17a8 Slc18a2 "
        "Slco1a4 Sox4 Sox6 Sox8 Sp9 Synpr Syt2 Syt4 Sytl4 Tacr1 Tacr3 Tiparp Tmem108 Traf4 Trhr Ttn "
        "Ttyh2 "
    ).split()
)
ROWS_PER_READ = 50_000
# How far from whole a number of molecules may be, and how many must not be further.
WHOLE, MOSTLY = 0.05, 0.99


def read_10x(path: Path) -> AnnData:
    r"""Reads counts from an h5 file of 10x Genomics, of genes only."""
    try:
        with h5py.File(path, "r") as file:
            matrix = file["matrix"]
            barcodes, kind = (matrix[key].asstr()[:] for key in ("barcodes", "features/feature_type"))
            names, ids = (matrix["features"][key].asstr()[:] for key in ("name", "id"))
            parts = tuple(matrix[key][:] for key in ("data", "indices", "indptr"))
    except (KeyError, OSError) as error:
        raise ValueError(f"'{path}' is no h5 file of 10x Genomics, or damaged ({error})") from error
    counts = sparse.csr_matrix(parts, shape=(len(barcodes), len(names)), dtype=np.float32)
    var = pd.DataFrame({"gene_ids": ids}, index=names.astype(object))
    adata = AnnData(counts, obs=pd.DataFrame(index=barcodes.astype(object)), var=var)
    adata = adata[:, kind == "Gene Expression"].copy()
    adata.var_names_make_unique()
    return adata


def read_dlpfc(paths: Sequence[Path]) -> AnnData:
    r"""Reads sections of the dorsolateral prefrontal cortex: layers of all, then counts and positions of
    each."""
    layers = pd.read_csv(
        paths[0], sep="\t", header=None, names=["barcode", "section", "layer"], dtype=str
    )
    sections = []
    for counts, positions in zip(paths[1::2], paths[2::2], strict=True):
        name = counts.name.split("_")[0]
        adata = read_10x(counts)
        place = pd.read_csv(positions, header=None, index_col=0)  # In tissue, row, column, then pixels.
        missing = adata.obs_names.difference(place.index)
        if len(missing) > 0:
            raise ValueError(
                f"'{positions}' has no position of {len(missing)} spots, e.g., {missing[0]}"
            )
        adata.obsm["spatial"] = place.loc[adata.obs_names, [5, 4]].to_numpy(dtype=np.float64)
        mine = layers[layers["section"] == name].set_index("barcode")["layer"]
        adata.obs["domain"] = mine.reindex(adata.obs_names).to_numpy()
        adata.obs["slice"] = name
        adata.obs_names = name + "_" + adata.obs_names
        sections.append(adata)
    out = concat(sections, join="inner", merge="same")
    out.obs = out.obs.astype("category")
    return out


def read_merfish_hypothalamus(paths: Sequence[Path], animal: int = 1) -> AnnData:
    r"""Reads the cells of one animal. The table holds numbers of molecules divided by the volume of the
    cell; the smallest number of a cell is taken for one molecule."""
    chunks = pd.read_csv(paths[0], chunksize=ROWS_PER_READ)
    table = pd.concat([chunk[chunk["Animal_ID"] == animal] for chunk in chunks])
    if len(table) == 0:
        raise ValueError(f"'{paths[0]}' has no cell of animal {animal}")
    missing = [name for name in MERFISH_GENES if name not in table.columns]
    if missing:
        raise ValueError(f"'{paths[0]}' has no column {', '.join(missing)}")
    counts = _whole(table[list(MERFISH_GENES)].to_numpy(dtype=np.float64))
    kept = counts.sum(axis=1) > 0
    kind = table["Cell_class"].astype(str).where(table["Cell_class"] != "Ambiguous")
    bregma = table["Bregma"].map(lambda value: f"A{animal}_{value:+.2f}")
    obs = pd.DataFrame({"slice": bregma, "cell_type": kind}).set_axis(table["Cell_ID"].astype(str))
    adata = AnnData(
        sparse.csr_matrix(counts[kept], dtype=np.float32),
        obs=obs[kept].astype("category"),
        var=pd.DataFrame(index=np.array(MERFISH_GENES, dtype=object)),
    )
    adata.obsm["spatial"] = table[["Centroid_X", "Centroid_Y"]].to_numpy(dtype=np.float64)[kept]
    return adata


def _whole(values: np.ndarray) -> np.ndarray:
    unit = np.where(values > 0, values, np.inf).min(axis=1, keepdims=True)
    ratio = values / np.where(np.isfinite(unit), unit, 1.0)
    near = np.abs(ratio - np.rint(ratio)) <= WHOLE
    if not near.mean() >= MOSTLY:
        raise ValueError(
            f"Only {near.mean():.0%} of the numbers of a cell are whole multiples of its smallest; they "
            f"are no numbers of molecules"
        )
    return np.rint(ratio)
