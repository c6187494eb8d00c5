from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from torch import Tensor

from benchmarks.data import BenchmarkData
from stofm_pyg.data import GeneVocab
from stofm_pyg.nn.node_type import cell_mask

# Of the genes that can match, those that must.
MIN_SHARE = 0.05


@dataclass(frozen=True)
class SliceCells:
    r"""What a peer sees of a slice.

    **Shapes**:
        - :obj:`adata`: counts :math:`(N, G)` with the names of the genes
        - :obj:`pos`: :math:`(N, 2)`
    """

    adata: AnnData
    pos: Tensor

    @property
    def counts(self) -> sparse.csr_matrix:
        r"""The counts :math:`(N, G)`."""
        return self.adata.X

    def counts_of(self, vocab: GeneVocab) -> tuple[sparse.csr_matrix, np.ndarray]:
        r"""The counts of the genes of a vocabulary that the slice has, matched by name, and the tokens
        of these genes. Columns of one gene are added up.

        Raises:
            ValueError: If too few genes match.
        """
        # A few chosen genes are no more than a small share of a transcriptome.
        most = min(1.0, len(vocab.genes) / self.adata.n_vars)
        mapping = vocab.map(self.adata, min_share=MIN_SHARE * most)
        shape = (self.adata.n_vars, len(mapping.token_ids))
        place = (mapping.columns, mapping.gene)
        take = sparse.csr_matrix((np.ones(len(mapping.columns), np.float32), place), shape=shape)
        return (self.counts @ take).sorted_indices(), mapping.token_ids


def read_slices(data: BenchmarkData) -> list[SliceCells]:
    r"""Returns the slices of a benchmark as peers see them."""
    counts, genes = data.counts()
    var = pd.DataFrame(index=pd.Index(genes, dtype=str))
    parts = zip(counts, data.slices, strict=True)
    return [SliceCells(as_anndata(x, var), item.pos[cell_mask(item)]) for x, item in parts]


def as_anndata(counts: sparse.csr_matrix, var: pd.DataFrame) -> AnnData:
    r"""Counts with the names of their genes."""
    obs = pd.DataFrame(index=pd.RangeIndex(counts.shape[0]).astype(str))
    return AnnData(counts.astype(np.float32), obs=obs, var=var)
