import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from threadpoolctl import threadpool_limits
from torch import Tensor

from stofm_pyg.corpus.corpus_settings import CorpusSettings
from stofm_pyg.data import GeneVocab, RankValueTokenizer, from_anndata
from stofm_pyg.data.genes.orthologues import Orthologues
from stofm_pyg.loader import SpatialClusterData

NUM_EXAMPLES = 10


def convert_slice(
    adata: AnnData,
    rows: np.ndarray,
    vocab: GeneVocab,
    settings: CorpusSettings,
    orthologues: Orthologues | None = None,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    r"""Converts a slice to the tensors of a shard, and reports on it.

    Cells are sorted by subpatch, so that a subpatch is one contiguous part of each tensor.

    Args:
        adata (AnnData): The slice, with counts in :obj:`adata.X`.
        rows (np.ndarray): The row of each cell in its file :math:`(N)`.
        vocab (GeneVocab): The vocabulary of the tokens.
        settings (CorpusSettings): How to convert it.
        orthologues (Orthologues, optional): Mouse genes and their human genes. (default: :obj:`None`)

    **Shapes**, for :math:`N` cells, :math:`T` tokens, :math:`E` edges, :math:`P` subpatches and
    :math:`V` virtual cells:
        - :obj:`tokens`: :math:`(T)` int32, :obj:`ptr`: :math:`(N + 1)` int64
        - :obj:`pos`: :math:`(N, 2)` float32, :obj:`cell_id`, :obj:`cluster`: :math:`(N)` int64
        - :obj:`edge_ptr`: :math:`(N + 1)` int64, :obj:`edge_col`: :math:`(E)` int32,
          :obj:`edge_attr`: :math:`(E)` float32, the radius graph of the whole slice
        - :obj:`part_ptr`: :math:`(P + 1)` int64, :obj:`virtual_pos`: :math:`(V, 2)` float32
    """
    start = time.monotonic()
    with _one_thread():
        mapping = vocab.map(adata, orthologues=orthologues)
        tokenizer = RankValueTokenizer(vocab, settings.max_length)
        tokens, told = tokenizer(adata, mapping=mapping, return_report=True)
        data = from_anndata(
            adata,
            spatial_key=settings.spatial_key,
            num_features=settings.num_features,
            unit=settings.unit,
            microns_per_unit=settings.microns_per_unit,
            radius=settings.radius,
            max_neighbors=settings.max_neighbors,
            max_clusters=settings.max_clusters,
            alpha=settings.alpha,
            seed=settings.seed,
        )
        parts = SpatialClusterData(
            data, settings.cells_per_part, method=settings.method, seed=settings.seed
        )
    cells, partition = parts.data, parts.partition
    tokens = tokens[cells.cell_id]
    tensors = {
        "tokens": tokens.tokens,
        "ptr": tokens.ptr,
        "pos": cells.pos,
        "cell_id": torch.from_numpy(rows)[cells.cell_id],
        "cluster": cells.cluster,
        "edge_ptr": partition.indptr,
        "edge_col": partition.index.int(),
        "edge_attr": cells.edge_attr.view(-1),
        "part_ptr": partition.partptr,
        "virtual_pos": parts.extra.pos,
    }
    report = {
        "cells": tokens.num_cells,
        "subpatches": len(parts),
        "virtual_cells": parts.extra.num_nodes,
        "tokens": tokens.tokens.numel(),
        "edges": partition.index.numel(),
        "genes": mapping.num_genes,
        "genes_matched": len(mapping.columns),
        "share_counts_matched": mapping.share_counts,
        "unmatched": mapping.unmatched[:NUM_EXAMPLES],
        "cells_without_genes": told.num_without_genes,
        "cells_truncated": told.num_truncated,
        "mapping": mapping.report,
        "part_ptr": partition.partptr.tolist(),
        "seconds": round(time.monotonic() - start, 3),
    }
    return tensors, report


@contextmanager
def _one_thread() -> Iterator[None]:
    # Sums by another number of threads differ in their last bits, and clusters may follow.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
