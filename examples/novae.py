r"""Prototypes of neighbourhoods by contrast, after Novae (Blampey et al., 2025), on slices of tissue:
`python examples/novae.py --data FILE.h5ad`.

A graph attention network embeds the subgraph around each cell. What is contrasted are assignments to
prototypes: that of a cell is to follow from the subgraph of a neighbour, in another view. Balanced
assignments (Sinkhorn) keep all prototypes in use. Prints how well they agree with tissue domains.
"""

import torch
import torch.nn.functional as F
from common import arguments, domain_f1, load_slices
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor
from torch.nn import Linear, Parameter
from torch_geometric.data import Data
from torch_geometric.nn import GATv2Conv, SimpleConv
from torch_geometric.utils import dropout_edge

from stofm_pyg.loader import RandomRegions
from stofm_pyg.transforms import SpatialRadiusGraph


class Novae(torch.nn.Module):
    def __init__(self, in_channels: int, hidden_channels: int, num_prototypes: int):
        super().__init__()
        self.conv1 = GATv2Conv(in_channels, hidden_channels // 4, heads=4, edge_dim=1)
        self.conv2 = GATv2Conv(hidden_channels, hidden_channels // 4, heads=4, edge_dim=1)
        self.pool = SimpleConv(aggr="mean", combine_root="sum")
        self.lin = Linear(hidden_channels, hidden_channels)
        self.prototypes = Parameter(torch.randn(num_prototypes, hidden_channels))

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        h = F.elu(self.conv1(x, edge_index, edge_attr))
        h = F.elu(self.conv2(h, edge_index, edge_attr))
        return F.normalize(self.lin(self.pool(h, edge_index)), dim=-1)

    def scores(self, z: Tensor) -> Tensor:
        return z @ F.normalize(self.prototypes, dim=-1).t()

    def view(self, data: Data) -> Tensor:
        edge_index, kept = dropout_edge(data.edge_index, p=0.2)
        x = data.x * (torch.rand(data.num_features) > 0.1) + 0.3 * torch.randn_like(data.x)
        return self.scores(self(x, edge_index, data.edge_attr[kept]))


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float = 0.05, num_iterations: int = 5) -> Tensor:
    r"""Assignments with rows that sum to one and columns of like sum."""
    q = (scores / epsilon).exp()
    for _ in range(num_iterations):
        q = q / q.sum(dim=0, keepdim=True) / q.size(1)
        q = q / q.sum(dim=1, keepdim=True) / q.size(0)
    return q * q.size(0)


def main(argv: list[str] | None = None) -> dict[str, float]:
    args = arguments(__doc__, argv, epochs=40, hidden=64, prototypes=32)
    slices = load_slices(args)
    regions = RandomRegions(slices, 150, 500, transform=SpatialRadiusGraph(3.0), seed=args.seed)
    model = Novae(slices[0].num_features, args.hidden, args.prototypes)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(args.epochs):
        for number in range(len(regions)):
            data = regions[number, epoch]
            source, target = data.edge_index[:, torch.randperm(data.num_edges)[: data.num_nodes]]
            first, second = model.view(data)[source], model.view(data)[target]
            loss = -(sinkhorn(first) * (second / 0.1).log_softmax(dim=1)).sum(dim=1).mean()
            loss = loss - (sinkhorn(second) * (first / 0.1).log_softmax(dim=1)).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    model.eval()
    with torch.no_grad():
        embeddings = [model(data.x, data.edge_index, data.edge_attr) for data in slices]
        nearest = torch.cat([model.scores(z).argmax(dim=1) for z in embeddings])
    truth = torch.cat([data[args.label] for data in slices])
    result = {
        "nmi": float(normalized_mutual_info_score(truth[truth >= 0], nearest[truth >= 0])),
        "used": nearest.unique().numel(),
        "f1": domain_f1(slices, embeddings, args.label),
    }
    print(f"{result['used']} prototypes; mutual information with '{args.label}': {result['nmi']:.3f}")
    print(f"macro-F1 of '{args.label}': {result['f1']:.3f}")
    return result


if __name__ == "__main__":
    main()
