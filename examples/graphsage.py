r"""GraphSAGE in mini-batches on slices of any size: `python examples/graphsage.py --data FILE.h5ad`.

A mini-batch is a contiguous part of a slice (`SpatialClusterData`, as in Cluster-GCN) or,
with `--batches neighbors`, a sample of neighbourhoods (`NeighborLoader`; pyg-lib or torch-sparse).
Prints how well the domains of the first slice are predicted by a model that was trained on the others.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
import torch_geometric.typing
from common import arguments, load_slices
from sklearn.metrics import f1_score
from torch_geometric.data import Data
from torch_geometric.loader import NeighborLoader
from torch_geometric.nn import GraphSAGE

from stofm_pyg.loader import SpatialClusterData, SubpatchLoader

CAN_SAMPLE = torch_geometric.typing.WITH_PYG_LIB or torch_geometric.typing.WITH_TORCH_SPARSE


def part_batches(slices: list[Data], seed: int) -> Iterable[Data]:
    r"""Parts of about 250 cells, two in a batch, shuffled anew at every pass."""
    parts = [SpatialClusterData(data, cells_per_part=250, seed=seed) for data in slices]
    return SubpatchLoader(parts, batch_size=2, shuffle=True, seed=seed)


def neighbor_batches(slices: list[Data]) -> Iterable[Data]:
    r"""Two hops around 256 cells at a time; these come first in their batch."""
    keep = ("x", "edge_index", "y")
    loaders = [
        NeighborLoader(Data(**{key: data[key] for key in keep}), [10, 10], batch_size=256, shuffle=True)
        for data in slices
    ]

    class Chained:
        def __iter__(self):
            return (batch for loader in loaders for batch in loader)

    return Chained()


def main(argv: list[str] | None = None) -> dict[str, float]:
    args = arguments(__doc__, argv, epochs=20, batches="parts")
    slices = load_slices(args)
    for data in slices:
        data.y = data[args.label]
    test, train = slices[0], slices[1:] or slices
    num_classes = 1 + max(int(data.y.max()) for data in slices)
    if args.batches == "neighbors" and not CAN_SAMPLE:
        print("NeighborLoader needs pyg-lib or torch-sparse; parts of the slices take its place")
    sampled = args.batches == "neighbors" and CAN_SAMPLE
    batches = neighbor_batches(train) if sampled else part_batches(train, args.seed)

    model = GraphSAGE(test.num_features, 64, num_layers=2, out_channels=num_classes, dropout=0.3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(args.epochs):
        model.train()
        for batch in batches:
            optimizer.zero_grad()
            size = batch.batch_size if sampled else batch.num_nodes
            out = model(batch.x, batch.edge_index)[:size]
            F.cross_entropy(out, batch.y[:size], ignore_index=-1).backward()
            optimizer.step()

    model.eval()
    with torch.no_grad():
        prediction = model(test.x, test.edge_index).argmax(dim=1)
    known = test.y >= 0
    result = {"f1": float(f1_score(test.y[known], prediction[known], average="macro"))}
    seen = "a slice that was not trained on" if len(slices) > 1 else "the slice that was trained on"
    print(f"macro-F1 of '{args.label}' in {seen}: {result['f1']:.3f}")
    return result


if __name__ == "__main__":
    main()
