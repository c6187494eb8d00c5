import numpy as np
import pandas as pd
from anndata import AnnData

from stofm_pyg.data.unknown_key import unknown_key


def column_names(adata: AnnData, gene_key: str | None = None) -> dict[str, list[str]]:
    r"""Returns what the genes may be called: :obj:`adata.var_names` and each column of text in
    :obj:`adata.var`, or only the column that is asked for; a missing name is empty.

    Args:
        adata (AnnData): Cells by genes.
        gene_key (str, optional): A column of :obj:`adata.var`. (default: :obj:`None`)
    """
    if gene_key is not None:
        if gene_key not in adata.var:
            raise unknown_key(
                gene_key, "adata.var", adata.var, "Leave 'gene_key' out for 'adata.var_names'."
            )
        return {f"adata.var[{gene_key!r}]": _as_text(adata.var[gene_key])}
    names = {"adata.var_names": _as_text(adata.var_names)}
    for key, column in adata.var.items():
        if not pd.api.types.is_numeric_dtype(column) and column.nunique() > 1:
            names[f"adata.var[{key!r}]"] = _as_text(column)
    return names


def _as_text(values: pd.Index | pd.Series) -> list[str]:
    missing = np.asarray(pd.isna(values))
    return ["" if gone else str(name).strip() for gone, name in zip(missing, values, strict=True)]
