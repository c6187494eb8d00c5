import logging
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from anndata import AnnData
from scipy import sparse
from torch import Tensor

from stofm_pyg.data.genes.mapping import GeneMapping
from stofm_pyg.data.genes.vocab import GeneVocab
from stofm_pyg.data.slices.counts import count_blocks, validate_counts
from stofm_pyg.data.slices.files import opened_anndata
from stofm_pyg.data.tokens.cell_tokens import CellTokens
from stofm_pyg.data.tokens.ranking import RankedCells, RankTable, rank_cells

logger = logging.getLogger(__name__)

CELLS_PER_BLOCK = 2**16


@dataclass(frozen=True)
class TokenReport:
    r"""What became of the cells and genes in :class:`~stofm_pyg.data.RankValueTokenizer`.

    Args:
        num_cells (int): The number of cells.
        num_genes (int): The number of genes of the vocabulary that were found.
        num_columns (int): The number of columns that they were found in.
        num_without_genes (int): The number of cells without a count of any of these genes.
        num_truncated (int): The number of cells that had more tokens than the limit.
        max_length (int): The limit.
        median_length (float): The median number of tokens of a cell.
        mapping (str): The report of :meth:`GeneVocab.map <stofm_pyg.data.GeneVocab.map>`.
    """

    num_cells: int
    num_genes: int
    num_columns: int
    num_without_genes: int
    num_truncated: int
    max_length: int
    median_length: float
    mapping: str

    def __str__(self) -> str:
        return (
            f"{self.num_cells:,} cells, {self.num_genes:,} genes of the vocabulary in "
            f"{self.num_columns:,} columns; {self.num_without_genes:,} cells have none of these genes, "
            f"{self.num_truncated:,} truncated at {self.max_length:,} tokens, median length "
            f"{self.median_length:g}. {self.mapping}"
        )


class RankValueTokenizer:
    r"""Writes each cell as the genes it expresses, from the most to the least above what is usual for
    the gene, as in Geneformer (`"Transfer learning enables predictions in network biology"
    <https://doi.org/10.1038/s41586-023-06139-9>`_).

    The value of gene :math:`g` in cell :math:`i` is

    .. math::
        v_{ig} = \frac{c_{ig}}{\sum_j c_{ij}} \cdot \frac{s}{m_g}

    with counts :math:`c` (the sum runs over all columns, whether in the vocabulary or not), the target
    sum :math:`s` and the median :math:`m_g` of the vocabulary. Tokens come by falling value; of equal
    values, the smaller token comes first. A cell without any gene of the vocabulary is CLS alone.

    As :math:`s` and the total are the same for all genes of a cell, they change values but no order:
    :math:`c_{ig} / m_g` is compared, in float64, so that rounding of the total makes and breaks no
    ties. Counts stay sparse, and of counts on disk a block of cells is read at a time.

    Args:
        vocab (GeneVocab): Tokens and medians of the genes.
        max_length (int, optional): The largest number of tokens of a cell, CLS included; what ranks
            lower is left out. (default: :obj:`2048`)
        target_sum (float, optional): The total count that cells are scaled to.
            (default: :obj:`10_000`)
        add_cls (bool, optional): Puts :obj:`vocab.cls_token_id` before each cell.
            (default: :obj:`True`)

    Raises:
        ValueError: :obj:`max_length` or :obj:`target_sum` is not positive.

    Example:
        >>> tokenizer = RankValueTokenizer(GeneVocab.from_geneformer("Geneformer/geneformer"))
        >>> tokenizer("slice.h5ad")
        CellTokens(num_cells=17136, num_tokens=1151946)
    """

    def __init__(
        self,
        vocab: GeneVocab,
        max_length: int = 2048,
        target_sum: float = 10_000,
        add_cls: bool = True,
    ):
        if max_length < 1:
            raise ValueError(f"'max_length' must be at least 1, got {max_length}.")
        if not (math.isfinite(target_sum) and target_sum > 0):
            raise ValueError(f"'target_sum' must be a positive number, got {target_sum}.")
        self.vocab = vocab
        self.max_length = max_length
        self.target_sum = target_sum
        self.add_cls = add_cls

    def __call__(
        self,
        adata: AnnData | str | os.PathLike,
        layer: str | None = None,
        *,
        mapping: GeneMapping | None = None,
        return_values: bool = False,
        return_report: bool = False,
    ) -> CellTokens | tuple[CellTokens | Tensor | TokenReport, ...]:
        r"""Returns the tokens of all cells, in the order of the cells.

        Args:
            adata (AnnData or str or PathLike): Raw counts, cells by genes (CSR, CSC or dense; in
                memory, a view, or backed), or an h5ad file.
            layer (str, optional): The key in :obj:`adata.layers` of the raw counts; if :obj:`None`,
                they are in :obj:`adata.X`. (default: :obj:`None`)
            mapping (GeneMapping, optional): Which columns are which genes, matched by name. If
                :obj:`None`, :meth:`GeneVocab.map` finds out by itself. (default: :obj:`None`)
            return_values (bool, optional): Also returns the value of each token :math:`(T)`,
                float32, infinite for CLS. (default: :obj:`False`)
            return_report (bool, optional): Also returns a :class:`TokenReport`, which goes to the log
                in any case. (default: :obj:`False`)

        Raises:
            ValueError: The file is damaged, the layer does not exist, a value is no count, too few
                genes are in the vocabulary, or the mapping is one of other columns.
        """
        with opened_anndata(adata) as adata:
            if adata.isbacked and adata.is_view:  # AnnData makes no view, hence no block, of it.
                adata = adata.to_memory()
            if mapping is None:
                mapping = self.vocab.map(adata, layer=layer)
            else:
                mapping = mapping.for_columns(adata.var_names)
            blocks = self._rank_blocks(adata, layer, mapping, return_values)
            ranked = _join(blocks, return_values)

        ptr = torch.from_numpy(np.concatenate([[0], np.cumsum(ranked.lengths)]))
        tokens = CellTokens(torch.from_numpy(ranked.tokens), ptr, self.vocab.fingerprint)
        report = self._report(ranked, mapping)
        logger.info("%s", report)
        if report.num_without_genes:
            logger.warning(
                "%d of %d cells have no count of a gene in the vocabulary: all that is left of them is "
                "%s",
                report.num_without_genes,
                report.num_cells,
                "CLS" if self.add_cls else "nothing",
            )
        if not return_values and not return_report:
            return tokens
        values = (torch.from_numpy(ranked.values),) if return_values else ()
        return (tokens, *values, *((report,) if return_report else ()))

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.vocab}, max_length={self.max_length}, "
            f"target_sum={self.target_sum}, add_cls={self.add_cls})"
        )

    def _rank_blocks(
        self, adata: AnnData, layer: str | None, mapping: GeneMapping, with_values: bool
    ) -> Iterator[RankedCells]:
        name = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
        # Counts in memory are not cut into blocks, which would be copies.
        on_disk = adata.isbacked and layer is None
        start = 0
        for counts in count_blocks(adata, layer, CELLS_PER_BLOCK if on_disk else max(1, adata.n_obs)):
            validate_counts(counts, name, adata.obs_names, adata.var_names, first_cell=start)
            start += counts.shape[0]
            scale = None
            if with_values:
                total = np.asarray(counts.sum(axis=1, dtype=np.float64)).reshape(-1)
                scale = self.target_sum / np.where(total > 0, total, self.target_sum)
            counts, gene = _by_gene(counts, mapping)
            table = RankTable(counts, gene, mapping.token_ids, mapping.medians, self.vocab.cls_token_id)
            yield rank_cells(table, self.max_length, self.add_cls, scale)

    def _report(self, ranked: RankedCells, mapping: GeneMapping) -> TokenReport:
        return TokenReport(
            num_cells=len(ranked.lengths),
            num_genes=len(mapping.token_ids),
            num_columns=len(mapping.columns),
            num_without_genes=ranked.num_without_genes,
            num_truncated=ranked.num_truncated,
            max_length=self.max_length,
            median_length=float(np.median(ranked.lengths)) if len(ranked.lengths) else 0.0,
            mapping=mapping.report,
        )


def _by_gene(counts: sparse.csr_matrix, mapping: GeneMapping) -> tuple[sparse.csr_matrix, np.ndarray]:
    r"""Counts, and the gene of each of their columns; columns of one gene are added up."""
    num_genes = len(mapping.token_ids)
    if len(mapping.columns) == num_genes:
        gene = np.full(counts.shape[1], -1, dtype=np.int64)
        gene[mapping.columns] = mapping.gene
        return counts, gene
    ones = np.ones(len(mapping.columns), dtype=np.float32)
    shape = (counts.shape[1], num_genes)
    merged = counts @ sparse.csr_matrix((ones, (mapping.columns, mapping.gene)), shape=shape)
    return merged, np.arange(num_genes)


def _join(blocks: Iterator[RankedCells], with_values: bool) -> RankedCells:
    tokens = np.empty(0, dtype=np.int32)
    values = np.empty(0, dtype=np.float32) if with_values else None
    lengths, empty, truncated = [np.zeros(0, dtype=np.int64)], 0, 0
    for block in blocks:
        tokens = _extend(tokens, block.tokens)
        values = _extend(values, block.values) if with_values else None
        lengths.append(block.lengths)
        empty += block.num_without_genes
        truncated += block.num_truncated
    return RankedCells(tokens, np.concatenate(lengths), values, empty, truncated)


def _extend(array: np.ndarray, more: np.ndarray) -> np.ndarray:
    if len(array) == 0:
        return more
    # In place: joined at the end, all tokens would be in memory twice.
    size = len(array)
    array.resize(size + len(more), refcheck=False)
    array[size:] = more
    return array
