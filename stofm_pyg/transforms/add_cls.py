import torch
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from stofm_pyg.nn.node_type import NodeType, node_types
from stofm_pyg.transforms._append_nodes import append_nodes


@functional_transform("add_cls")
class AddCLS(BaseTransform):
    r"""Appends a CLS node, the read-out token of a subpatch (functional name: :obj:`add_cls`).

    It has node type 1, zero features at the origin, :obj:`cell_id` and labels -1, and no position that
    attention would see: its bias is zero.

    Raises:
        ValueError: There is a CLS node already.
    """

    def forward(self, data: Data) -> Data:
        data.node_type = node_types(data)
        if (data.node_type == NodeType.CLS).any():
            raise ValueError("The subpatch already has a CLS node; add one only")
        values = {"node_type": torch.tensor([NodeType.CLS])}
        return append_nodes(data, 1, values, lambda value: value.new_zeros(1, *value.shape[1:]))
