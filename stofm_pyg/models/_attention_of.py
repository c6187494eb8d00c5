from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from stofm_pyg.models._in_evaluation import in_evaluation
from stofm_pyg.models._subpatches import check_slice, subpatches
from stofm_pyg.models.made_alike import check_made_alike
from stofm_pyg.nn import NodeType, PairRepresentation, attention_weights
from stofm_pyg.nn.node_type import cell_mask


class CellAttention(NamedTuple):
    r"""How one cell attends to the nodes of its subpatch."""

    #: The weights of each layer and head :math:`(L, H, n)`, which sum to one.
    weights: Tensor
    #: Which nodes of the slice these are :math:`(n)`, -1 for a CLS that the slice itself does not have.
    node: Tensor
    #: The cell, as a row of the cells of the slice.
    cell: int
    #: The pair representation of the subpatch.
    pair: PairRepresentation


@torch.no_grad()
def attention_of(
    model: torch.nn.Module,
    data: Data,
    cell: int,
    cells_per_part: int | None = None,
    method: str | None = None,
    seed: int = 0,
) -> CellAttention:
    r"""Returns how a cell of a slice attends to the cells and virtual cells of its subpatch, in every
    layer, as :meth:`SToFM.embed` computes it. Of the attention weights only those of the cell are made.

    Args:
        model (SToFM): A model of :class:`~stofm_pyg.nn.SE2TransformerConv` layers.
        data (Data): The slice, *e.g.*, one of :obj:`model.slices(adata)`; not changed.
        cell (int): The cell, as a row of the cells of the slice.
        cells_per_part (int, optional): Cells in a subpatch; those of :obj:`model.settings` without.
            (default: :obj:`None`)
        method (str, optional): How to partition, see :meth:`SToFM.embed`. (default: :obj:`None`)
        seed (int, optional): The seed of the partition. (default: :obj:`0`)

    Raises:
        ValueError: There is no such cell, the model has layers of another kind, or the slice was made
            otherwise than those that it was trained on.

    Example:
        >>> (data, *_) = model.slices(adata)
        >>> attention = attention_of(model, data, cell=100)
        >>> attention.weights.sum(dim=-1)  # one for each layer and head
    """
    if not model.encoder.is_se2:
        raise ValueError(
            f"The layers of the model are {model.encoder.conv_name}, which has no attention between all "
            f"nodes of a subpatch; that is told of SE2TransformerConv alone"
        )
    data = check_made_alike(model, data)
    check_slice(data, model.graph)
    is_cell = cell_mask(data)
    num_cells = int(is_cell.sum())
    if not 0 <= cell < num_cells:
        raise ValueError(f"There is no cell {cell}; the slice has the cells 0 to {num_cells - 1}")
    if method is None and model.graph != "official":
        method = model.settings.method
    size = model.settings.cells_per_part if cells_per_part is None else cells_per_part
    parts = subpatches(data, model.graph, size, method, seed)
    starts = parts.partition.partptr
    place = int((parts.data.row == cell).nonzero()[0])
    part = parts[int(torch.searchsorted(starts, place, right=True)) - 1]

    node = torch.full((part.num_nodes,), -1)
    of_cell = part.node_type == NodeType.CELL
    node[of_cell] = is_cell.nonzero().view(-1)[part.row[of_cell]]
    others = (~is_cell).nonzero().view(-1)  # They follow the cells in their order.
    node[(~of_cell).nonzero().view(-1)[: others.numel()]] = others
    with in_evaluation(model):
        pair = model(Batch.from_data_list([part]).to(model.mask_token.device)).pair
    nodes = (part.row == cell).nonzero().view(-1).to(pair.batch.device)
    rows = [attention_weights(pair, nodes, layer)[0].t() for layer in range(pair.num_layers)]
    return CellAttention(torch.stack(rows).float().cpu(), node, cell, pair)
