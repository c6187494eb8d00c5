import re

import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.utils import make_index_unique

from stofm_pyg.data.genes.names import without_genome
from stofm_pyg.data.keys import Keys
from stofm_pyg.data.readers.format import Tissue

# Probes that bind to nothing, and codes that no gene has, as the makers of instruments call them.
CONTROL = re.compile(
    r"blank|neg(ative)?[-_ ]?(control|prb|probe|\d)|system_?control|false_?code|antisense_|"
    r"(unassigned|deprecated)_?codeword|intergenic_?region",
    re.IGNORECASE,
)


def assemble(tissue: Tissue, name: str) -> AnnData:
    r"""Makes an :class:`~anndata.AnnData` of what a reader found.

    Positions go into :obj:`obsm["spatial"]`, in microns where that is known, their unit into
    :obj:`uns["spatial_unit"]`; all else that is known of cells into :obj:`obs`.

    Args:
        tissue (Tissue): What was found.
        name (str): The name of the format, which goes into :obj:`uns["spatial_format"]`.

    Raises:
        ValueError: There are no cells, or ones without position, two have one name, or no feature is a
            gene.
    """
    if len(tissue.cells) == 0:
        raise ValueError(f"'{tissue.files[0] or name}' holds no cell: is it whole, and of {name}?")
    table = _aligned(tissue)
    genes, kept = tissue.genes.copy(), np.ones(len(tissue.genes), dtype=bool)
    control = genes.pop("control") if "control" in genes else controls(genes.index)
    for kind in dict.fromkeys(control[control != ""]):
        number = int((control == kind).sum())
        tissue.notes.append(f"{number:,} {kind}{'s' if number > 1 else ''} left out")
    kept = (control == "").to_numpy()
    if not kept.any():
        raise ValueError(
            f"None of the {len(kept):,} features in '{tissue.files[0] or name}' is a gene: "
            f"{', '.join(tissue.notes)}. Are its columns those of the format?"
        )
    genes.index = pd.Index(_gene_names(genes.index, kept, tissue.notes), dtype=object)
    counts = tissue.counts[:, kept].astype(np.float32)
    counts.eliminate_zeros()
    x, y = tissue.position
    pos = table[[x, y]].to_numpy(np.float64) * (1.0 if tissue.scale is None else tissue.scale)
    adata = AnnData(counts, obs=table.drop(columns=[x, y]), var=genes[kept])
    adata.obsm[Keys.SPATIAL] = pos
    adata.uns[Keys.UNIT] = tissue.unit if tissue.scale is None else "micron"
    adata.uns[Keys.FORMAT] = name
    return adata


def controls(names: pd.Index) -> pd.Series:
    r"""Returns :obj:`"control probe"` for each name of one, else nothing :math:`(G)`."""
    found = ["control probe" if CONTROL.match(str(name)) else "" for name in names]
    return pd.Series(found, index=names, dtype=object)


def _aligned(tissue: Tissue) -> pd.DataFrame:
    # The rows of the table that are of the cells, in their order.
    table, cells = tissue.table, tissue.cells.astype(str)
    table = table.set_axis(table.index.astype(str))
    of_counts, of_positions = (f"'{file}'" if file else "the table" for file in tissue.files)
    for index, file in ((cells, of_counts), (table.index, of_positions)):
        if not index.is_unique:
            raise ValueError(
                f"{file} names the cell {index[index.duplicated()][0]!r} twice; leave one of both out"
            )
    rows = table.index.get_indexer(cells)
    if (rows < 0).any():
        raise ValueError(
            f"{int((rows < 0).sum()):,} of the {len(cells):,} cells with counts in {of_counts} have no "
            f"position in {of_positions}, the first {cells[rows < 0][0]!r}; the first position is of "
            f"{table.index[0]!r}. Are both whole, and of one sample?"
        )
    return table.iloc[rows].rename_axis(None)


def _gene_names(names: pd.Index, kept: np.ndarray, notes: list[str]) -> np.ndarray:
    out = names.astype(str).to_numpy(dtype=object)
    plain, genomes = without_genome(out[kept].tolist())
    if len(genomes) == 1:
        out[kept] = plain
        notes.append(f"prefix {genomes[0]!r} of genes taken off")
    elif genomes:
        notes.append(f"genes of several genomes ({', '.join(genomes)}) keep their prefixes")
    repeated = pd.Index(out[kept]).duplicated()
    if repeated.any():
        notes.append(f"{int(repeated.sum()):,} repeated names of genes got a number")
        out[kept] = make_index_unique(pd.Index(out[kept]))
    return out
