r"""Between :class:`~anndata.AnnData` and PyG's :class:`~torch_geometric.data.Data`."""

from stofm_pyg.data.cell_tokens import CellTokens
from stofm_pyg.data.expression_pca import expression_pca
from stofm_pyg.data.from_anndata import from_anndata
from stofm_pyg.data.gene_mapping import GeneMapping
from stofm_pyg.data.gene_vocab import GeneVocab
from stofm_pyg.data.get_matrix import get_matrix
from stofm_pyg.data.keys import Keys
from stofm_pyg.data.open_anndata import open_anndata
from stofm_pyg.data.rank_value_tokenizer import RankValueTokenizer
from stofm_pyg.data.slices_from_anndata import slices_from_anndata
from stofm_pyg.data.to_anndata import to_anndata
from stofm_pyg.data.validate_counts import validate_counts

__all__ = [
    "CellTokens",
    "GeneMapping",
    "GeneVocab",
    "Keys",
    "RankValueTokenizer",
    "expression_pca",
    "from_anndata",
    "get_matrix",
    "open_anndata",
    "slices_from_anndata",
    "to_anndata",
    "validate_counts",
]
