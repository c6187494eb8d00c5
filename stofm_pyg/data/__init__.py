r"""Between :class:`~anndata.AnnData` and PyG's :class:`~torch_geometric.data.Data`."""

from stofm_pyg.data.genes.mapping import GeneMapping
from stofm_pyg.data.genes.vocab import GeneVocab
from stofm_pyg.data.keys import Keys
from stofm_pyg.data.readers import read
from stofm_pyg.data.slices.components import expression_pca
from stofm_pyg.data.slices.convert import from_anndata, slices_from_anndata
from stofm_pyg.data.slices.counts import get_matrix, validate_counts
from stofm_pyg.data.slices.files import open_anndata
from stofm_pyg.data.slices.settings import SliceSettings
from stofm_pyg.data.slices.write import to_anndata
from stofm_pyg.data.tokens.cell_tokens import CellTokens
from stofm_pyg.data.tokens.tokenizer import RankValueTokenizer

__all__ = [
    "CellTokens",
    "GeneMapping",
    "GeneVocab",
    "Keys",
    "RankValueTokenizer",
    "SliceSettings",
    "expression_pca",
    "from_anndata",
    "get_matrix",
    "open_anndata",
    "read",
    "slices_from_anndata",
    "to_anndata",
    "validate_counts",
]
