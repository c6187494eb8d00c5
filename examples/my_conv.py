r"""A layer of one's own in the place of the SE(2) Transformer layer: `python examples/my_conv.py`.

The benchmark takes it from this file, too: `python benchmarks/run.py --task segmentation
--method stofm,untrained --conv examples/my_conv.py:RadialConv`.
"""

import sys
from pathlib import Path

from common import arguments, domain_f1, load_slices
from torch import Tensor
from torch.nn import Linear, ReLU, Sequential
from torch_geometric.nn import MessagePassing

from stofm_pyg.models import SToFM
from stofm_pyg.nn.node_type import cell_mask

NAME = f"{Path(__file__).resolve()}:RadialConv"


class RadialConv(MessagePassing):
    r"""A mean of the neighbours in which each channel has a weight of its own, learned from the encoded
    distance, beside the cell itself.

    All that a layer needs is this call: :obj:`in_channels`, :obj:`out_channels` and, for distances,
    :obj:`edge_dim`; features, edges and encoded distances in, features out.

    Args:
        in_channels (int): Size of a cell's features.
        out_channels (int): Size of what comes out.
        edge_dim (int): Size of an encoded distance.
    """

    def __init__(self, in_channels: int, out_channels: int, edge_dim: int):
        super().__init__(aggr="mean")
        self.lin_self = Linear(in_channels, out_channels)
        self.lin_near = Linear(in_channels, out_channels, bias=False)
        self.weight = Sequential(Linear(edge_dim, edge_dim), ReLU(), Linear(edge_dim, out_channels))
        self.reset_parameters()

    def reset_parameters(self):
        r"""Resets all learnable parameters of the module."""
        super().reset_parameters()
        for module in (self.lin_self, self.lin_near, self.weight[0], self.weight[2]):
            module.reset_parameters()

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        r"""Runs the forward pass of the module."""
        near = self.propagate(edge_index, x=self.lin_near(x), weight=self.weight(edge_attr))
        return self.lin_self(x) + near

    def message(self, x_j: Tensor, weight: Tensor) -> Tensor:
        return weight * x_j


def main(argv: list[str] | None = None) -> dict[str, float]:
    args = arguments(__doc__, argv, epochs=8)
    slices = load_slices(args, radius=8.0, virtual_cells=True)
    result = {}
    for name, conv in (("SE2TransformerConv", "SE2TransformerConv"), ("RadialConv", NAME)):
        config = {"model": {"conv": conv}, "stage_1": {"num_epochs": args.epochs}}
        model = SToFM.fit(
            slices, preset="tiny", config=config, seed=args.seed, num_workers=0, progress=False
        )
        cells = [data.subgraph(cell_mask(data)) for data in slices]
        result[name] = domain_f1(cells, model.embed(slices), args.label)
        size = sum(parameter.numel() for parameter in model.parameters())
        print(f"{name}: {size:,} parameters, macro-F1 {result[name]:.3f}")
    return result


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
