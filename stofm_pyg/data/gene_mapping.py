from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False, repr=False)
class GeneMapping:
    r"""Which columns of an :class:`~anndata.AnnData` are which genes of a
    :class:`~stofm_pyg.data.GeneVocab`.

    Several columns may be one gene (a name twice, two mouse genes of one human gene): their counts
    add up.

    **Shapes**, for :math:`M` columns that matched :math:`G` genes:
        - :obj:`columns`: :math:`(M)`
        - :obj:`gene`: :math:`(M)`, in :math:`\{ 0, \ldots, G - 1 \}`
        - :obj:`token_ids`: :math:`(G)`
        - :obj:`medians`: :math:`(G)`
    """

    #: The columns of :obj:`adata.X` that matched, rising (int64).
    columns: np.ndarray
    #: For each of these columns, the position of its gene in :obj:`token_ids` (int64).
    gene: np.ndarray
    #: The token id of each gene, rising (int64).
    token_ids: np.ndarray
    #: The median of each gene, in counts of 10,000 (float64).
    medians: np.ndarray
    #: The number of columns of :obj:`adata.X`.
    num_genes: int
    #: The share of columns that matched.
    share_genes: float
    #: The share of counts that is in these columns.
    share_counts: float
    #: The names that did not match, in their order.
    unmatched: list[str]
    #: What most names are: :obj:`"symbol"`, :obj:`"ensembl"` or :obj:`"ensembl with version"`.
    naming: str
    #: The species of most names: :obj:`"human"` or :obj:`"mouse"`.
    species: str
    #: All this in words.
    report: str

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.columns)} of {self.num_genes} columns, "
            f"{len(self.token_ids)} genes, naming={self.naming!r}, species={self.species!r})"
        )
