from anndata import AnnData
from scipy import sparse

from stofm_pyg.data.get_matrix import get_matrix
from stofm_pyg.data.validate_counts import validate_counts


def get_counts(adata: AnnData, layer: str | None = None) -> sparse.csr_matrix:
    r"""Returns the counts of :obj:`adata.X` or a layer as :meth:`get_matrix` does, once they pass
    :meth:`validate_counts`.

    Args:
        adata (AnnData): Cells by genes.
        layer (str, optional): A key of :obj:`adata.layers`. (default: :obj:`None`)
    """
    counts = get_matrix(adata, layer)
    name = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
    validate_counts(counts, name, adata.obs_names, adata.var_names)
    return counts
