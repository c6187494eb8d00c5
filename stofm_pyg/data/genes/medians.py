import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from anndata import AnnData

from stofm_pyg.data.genes.names import column_names, gene_kind
from stofm_pyg.data.slices.counts import count_blocks, validate_counts
from stofm_pyg.data.slices.files import opened_anndata

logger = logging.getLogger(__name__)

TARGET = 10_000
# Values lie between one count in a cell of ten millions and all counts of a cell.
NUM_BINS, LOWEST, HIGHEST = 512, 1e-3, 1e4


def non_zero_medians(
    slices: Sequence[AnnData | str | os.PathLike],
    *,
    layer: str | None = None,
    gene_key: str | None = None,
) -> dict[str, float]:
    r"""Returns the median of each gene over the cells of all slices that express it, of counts
    scaled to 10,000 per cell; genes that no cell expresses are left out.

    The medians are exact. Slices are read twice, in blocks of cells: the first time for a histogram
    per gene, the second time for the values in the bins where the medians lie, so that memory is
    that of one block, the histograms, and a few percent of the values.

    Args:
        slices (sequence of AnnData or str or PathLike): Raw counts, cells by genes.
        layer (str, optional): A key of :obj:`adata.layers`. (default: :obj:`None`)
        gene_key (str, optional): The column of :obj:`adata.var` with the names of the genes. If
            :obj:`None`, takes :obj:`adata.var_names`. (default: :obj:`None`)

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A file is damaged, a key does not exist, or a value is no count.
    """
    own = [_gene_names(source, gene_key) for source in slices]
    genes = sorted(set().union(*own) - {""})
    number = {gene: i for i, gene in enumerate(genes)}
    columns = [np.array([number.get(name, -1) for name in names], dtype=np.int64) for names in own]
    _warn_of_strangers(own)

    histogram = np.zeros((len(genes), NUM_BINS), dtype=np.uint32)
    for gene, value in _values(slices, columns, layer):
        np.add.at(histogram.reshape(-1), gene * NUM_BINS + _bin(value), 1)
    cumulated = np.cumsum(histogram, axis=1, out=histogram)
    count = cumulated[:, -1].astype(np.int64)

    # The two values in the middle, which are one if the number of values is odd.
    ranks = np.stack([(count - 1) // 2, count // 2], axis=1)
    first, last = ((cumulated <= ranks[:, [side]]).sum(axis=1) for side in (0, 1))
    kept_genes, kept_values = [np.zeros(0, np.int64)], [np.zeros(0)]
    for gene, value in _values(slices, columns, layer):
        position = _bin(value)
        keep = (position >= first[gene]) & (position <= last[gene])
        kept_genes.append(gene[keep])
        kept_values.append(value[keep])
    gene, value = np.concatenate(kept_genes), np.concatenate(kept_values)
    value = value[np.lexsort((value, gene))]

    starts = np.concatenate([[0], np.cumsum(np.bincount(gene, minlength=len(genes)))])
    medians = {}
    for i in np.flatnonzero(count):
        below = int(cumulated[i, first[i] - 1]) if first[i] > 0 else 0
        low, high = value[starts[i] + ranks[i] - below]
        medians[genes[i]] = float((low + high) / 2)
    return medians


def _gene_names(source: AnnData | str | os.PathLike, gene_key: str | None) -> list[str]:
    with opened_anndata(source) as adata:
        names = next(iter(column_names(adata, gene_key).values()))
    return [gene_kind(name).name for name in names]


def _warn_of_strangers(own: list[list[str]]):
    slices_of = Counter(name for names in own for name in set(names))
    for number, names in enumerate(own):
        if len(own) > 1 and all(slices_of[name] == 1 for name in names):
            logger.warning(
                "Slice %d shares no gene with the others: its names are such as %s, those of slice "
                "%d are %s. Name the same kind of names in all by 'gene_key='",
                number,
                names[:3],
                number - 1 if number else 1,
                own[number - 1 if number else 1][:3],
            )


def _values(
    slices: Sequence[AnnData | str | os.PathLike], columns: list[np.ndarray], layer: str | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Gene and scaled count of each non-zero entry, block by block."""
    name = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
    for source, gene_of_column in zip(slices, columns, strict=True):
        unique = len(np.unique(gene_of_column)) == len(gene_of_column)
        with opened_anndata(source) as adata:
            start = 0
            for block in count_blocks(adata, layer):
                validate_counts(block, name, adata.obs_names, adata.var_names, first_cell=start)
                start += block.shape[0]
                row = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
                total = np.bincount(row, block.data, minlength=block.shape[0])
                gene, value = gene_of_column[block.indices], block.data.astype(np.float64)
                if not unique:
                    row, gene, value = _merge(row, gene, value)
                known = gene >= 0
                yield gene[known], (value / total[row] * TARGET)[known]


def _merge(
    row: np.ndarray, gene: np.ndarray, value: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Adds up the columns of one gene in each cell."""
    width = gene.max(initial=0) + 2
    pairs, inverse = np.unique(row * width + gene + 1, return_inverse=True)
    return pairs // width, pairs % width - 1, np.bincount(inverse, value, minlength=len(pairs))


def _bin(value: np.ndarray) -> np.ndarray:
    scale = NUM_BINS / np.log(HIGHEST / LOWEST)
    return np.clip(np.log(value / LOWEST) * scale, 0, NUM_BINS - 1).astype(np.int64)
