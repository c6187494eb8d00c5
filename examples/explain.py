r"""Why does the SE(2) layer see a cell in this domain? `python examples/explain.py --data FILE.h5ad`.

`torch_geometric.explain` on `SliceEncoder`: GNNExplainer learns a mask of edges and one of features for
one cell. While edges are masked, attention runs as messages along all pairs (the evaluator `edgewise`),
so take a region of some hundred cells. Prints how far the edges that matter reach, and what the
prediction is without the features that matter least, and without those that matter most.
"""

import torch
import torch.nn.functional as F
from common import arguments, load_slices
from torch import Tensor
from torch.nn import Linear
from torch_geometric.explain import Explainer, GNNExplainer

from stofm_pyg.loader import RandomRegions
from stofm_pyg.nn import SliceEncoder, start_local
from stofm_pyg.transforms import SpatialRadiusGraph

RADIUS = 5.0


class Classifier(torch.nn.Module):
    def __init__(self, in_channels: int, num_classes: int):
        super().__init__()
        self.encoder = SliceEncoder(
            in_channels, 32, num_layers=2, heads=4, num_gaussians=16, max_distance=RADIUS
        )
        start_local(self.encoder, RADIUS)
        self.lin = Linear(32, num_classes)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        return self.lin(self.encoder(x, edge_index, edge_attr).x)


def main(argv: list[str] | None = None) -> dict[str, float]:
    args = arguments(__doc__, argv, epochs=20, region=200, steps=100)
    slices = load_slices(args, RADIUS)
    regions = RandomRegions(slices, args.region // 2, args.region, SpatialRadiusGraph(RADIUS), args.seed)
    num_classes = 1 + max(int(data[args.label].max()) for data in slices)
    model = Classifier(slices[0].num_features, num_classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(args.epochs):
        for number in range(len(regions)):
            data = regions[number, epoch]
            out = model(data.x, data.edge_index, data.edge_attr)
            optimizer.zero_grad()
            F.cross_entropy(out, data[args.label], ignore_index=-1).backward()
            optimizer.step()

    data = regions[0, args.epochs]
    model.eval()
    explainer = Explainer(
        model,
        GNNExplainer(epochs=args.steps, lr=0.05),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={
            "mode": "multiclass_classification",
            "task_level": "node",
            "return_type": "raw",
        },
    )
    cell = int((data.pos - data.pos.mean(dim=0)).norm(dim=1).argmin())  # in the middle
    explanation = explainer(data.x, data.edge_index, edge_attr=data.edge_attr, index=cell)

    # The edges that end at the cell, from the one that matters most.
    into = (data.edge_index[1] == cell).nonzero().view(-1)
    order = into[explanation.edge_mask[into].argsort(descending=True)]
    length, most = data.edge_attr.view(-1), order[: max(1, order.numel() // 4)]

    def probability(keep: Tensor) -> float:
        out = model(data.x * keep, data.edge_index, data.edge_attr)[cell]
        return float(out.softmax(dim=0)[explanation.target[cell]])

    with torch.no_grad():
        matters = explanation.node_mask > explanation.node_mask.quantile(0.8)
        result = {
            "probability": probability(torch.ones_like(data.x)),
            "without_rest": probability(matters),
            "without_most": probability(~matters),
            "reach": float(length[most].mean() / length[into].mean()),
        }
    print(f"the first quarter of its edges is {result['reach']:.2f} times as long as all on average")
    print(
        f"probability of its domain: {result['probability']:.3f}; by a fifth of the features, those "
        f"that matter most: {result['without_rest']:.3f}; by all others: {result['without_most']:.3f}"
    )
    return result


if __name__ == "__main__":
    main()
