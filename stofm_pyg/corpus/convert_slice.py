import time
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from torch import Tensor
from torch_geometric.data import Data

from stofm_pyg._threads import one_thread
from stofm_pyg.data import GeneVocab, RankValueTokenizer, SliceSettings
from stofm_pyg.data.genes.orthologues import Orthologues
from stofm_pyg.data.slices.convert import place_cells
from stofm_pyg.data.slices.positions import get_positions
from stofm_pyg.loader import SpatialClusterData
from stofm_pyg.nn.node_type import cell_mask, node_types
from stofm_pyg.transforms.neighbors import check_distances

NUM_EXAMPLES = 10


def convert_slice(
    adata: AnnData,
    rows: np.ndarray,
    settings: SliceSettings,
    vocab: GeneVocab | None = None,
    orthologues: Orthologues | None = None,
    name: str = "",
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    r"""Converts a slice to the tensors of a shard, and reports on it.

    Cells are sorted by subpatch, so that a subpatch is one contiguous part of each tensor. Features and
    what follows from them (clusters, virtual cells) are no part of a shard, see
    :class:`~stofm_pyg.corpus.FeatureStore`.

    Args:
        adata (AnnData): The slice, with counts in :obj:`adata.X`.
        rows (np.ndarray): The row of each cell in its file :math:`(N)`.
        settings (SliceSettings): How to convert it.
        vocab (GeneVocab, optional): The vocabulary of the tokens; none are made without.
            (default: :obj:`None`)
        orthologues (Orthologues, optional): Mouse genes and their human genes. (default: :obj:`None`)
        name (str, optional): The name of the slice in errors. (default: :obj:`""`)

    **Shapes**, for :math:`N` cells, :math:`T` tokens, :math:`E` edges and :math:`P` subpatches:
        - :obj:`pos`: :math:`(N, 2)` float64, :obj:`cell_id`, :obj:`order`: :math:`(N)` int64, the row
          of a cell in its file, and its place among the cells that were given
        - :obj:`edge_ptr`: :math:`(N + 1)` int64, :obj:`edge_col`: :math:`(E)` int32,
          :obj:`edge_attr`: :math:`(E)` float32, the radius graph of the whole slice
        - :obj:`part_ptr`: :math:`(P + 1)` int64
        - :obj:`tokens`: :math:`(T)` int32, :obj:`ptr`: :math:`(N + 1)` int64, with a vocabulary
    """
    start = time.monotonic()
    data = place_cells(get_positions(adata, settings.spatial_key), settings, name)
    data.cell_id = torch.from_numpy(rows)
    tensors, report = shard_tensors(data, settings)
    if vocab is not None:
        with one_thread():
            mapping = vocab.map(adata, orthologues=orthologues)
            tokenizer = RankValueTokenizer(vocab, settings.max_length)
            tokens, told = tokenizer(adata, mapping=mapping, return_report=True)
        tokens = tokens[tensors["order"]]
        tensors |= {"tokens": tokens.tokens, "ptr": tokens.ptr}
        report |= {
            "tokens": tokens.tokens.numel(),
            "genes_matched": len(mapping.columns),
            "share_counts_matched": mapping.share_counts,
            "unmatched": mapping.unmatched[:NUM_EXAMPLES],
            "cells_without_genes": told.num_without_genes,
            "cells_truncated": told.num_truncated,
            "mapping": mapping.report,
        }
    return tensors, report | {
        "genes": adata.n_vars,
        "seconds": round(time.monotonic() - start, 3),
    }


def shard_tensors(data: Data, settings: SliceSettings) -> tuple[dict[str, Tensor], dict[str, Any]]:
    r"""Sorts the cells of a slice by subpatch; see :meth:`convert_slice` for what is returned.

    Args:
        data (Data): The slice, with :obj:`pos`, :obj:`cell_id`, and its graph if it has one; virtual
            cells are left out.
        settings (SliceSettings): How to cut it.

    Raises:
        ValueError: Edges have no distances, or others than those of their ends.
    """
    edge_index, edge_attr = data.get("edge_index"), data.get("edge_attr")
    if edge_index is None:
        edge_index, edge_attr = torch.empty(2, 0, dtype=torch.int64), torch.empty(0, 1)
    if edge_attr is None:
        raise ValueError(
            f"The slice '{data.get('name') or ''}' has edges but no distances in 'edge_attr'. Apply "
            f"'SpatialRadiusGraph', or leave its edges out."
        )
    check_distances(data)
    whole = Data(pos=data.pos.double(), cell_id=data.cell_id, node_type=node_types(data))
    whole.edge_index, whole.edge_attr = edge_index, edge_attr
    cells = whole.subgraph(cell_mask(data))
    cells.order = torch.arange(cells.num_nodes)
    with one_thread():
        parts = SpatialClusterData(
            cells, settings.cells_per_part, method=settings.method, seed=settings.seed
        )
    sorted_cells, partition = parts.data, parts.partition
    tensors = {
        "pos": sorted_cells.pos,
        "cell_id": sorted_cells.cell_id,
        "order": sorted_cells.order,
        "edge_ptr": partition.indptr,
        "edge_col": partition.index.int(),
        "edge_attr": sorted_cells.edge_attr.view(-1),
        "part_ptr": partition.partptr,
    }
    report = {
        "cells": sorted_cells.num_nodes,
        "subpatches": len(parts),
        "edges": partition.index.numel(),
        "tokens": 0,
        "cells_without_genes": 0,
        "part_ptr": partition.partptr.tolist(),
    }
    return tensors, report
