r"""A plain graph auto-encoder of PyG on slices of tissue: `python examples/gae.py --data FILE.h5ad`.

Slices are `Data`, so nothing but the first line of `main` knows where they come from. Prints how well
edges are recovered that were left out, and how well tissue domains follow from the embedding.
"""

import torch
import torch.nn.functional as F
from common import arguments, domain_f1, load_slices
from torch import Tensor
from torch_geometric.nn import GAE, GCNConv
from torch_geometric.transforms import RandomLinkSplit


class Encoder(torch.nn.Module):
    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv1 = GCNConv(in_channels, 2 * out_channels)
        self.conv2 = GCNConv(2 * out_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv2(F.relu(self.conv1(x, edge_index)), edge_index)


def main(argv: list[str] | None = None) -> dict[str, float]:
    args = arguments(__doc__, argv, epochs=100, channels=32)
    slices = load_slices(args)
    split = RandomLinkSplit(
        num_val=0.0,
        num_test=0.1,
        is_undirected=True,
        split_labels=True,
        add_negative_train_samples=False,
    )
    splits = [split(data) for data in slices]

    model = GAE(Encoder(slices[0].num_features, args.channels))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(args.epochs):
        model.train()
        optimizer.zero_grad()
        for train, _, _ in splits:
            z = model.encode(train.x, train.edge_index)
            (model.recon_loss(z, train.pos_edge_label_index) / len(splits)).backward()
        optimizer.step()

    model.eval()
    with torch.no_grad():
        scores = [
            model.test(
                model.encode(test.x, test.edge_index),
                test.pos_edge_label_index,
                test.neg_edge_label_index,
            )
            for _, _, test in splits
        ]
        embeddings = [model.encode(data.x, data.edge_index) for data in slices]
    result = {
        "auc": sum(auc for auc, _ in scores) / len(scores),
        "f1": domain_f1(slices, embeddings, args.label),
        "f1_pca": domain_f1(slices, [data.x for data in slices], args.label),
    }
    print(f"ROC-AUC of the edges left out: {result['auc']:.3f}")
    print(f"macro-F1 of '{args.label}': {result['f1']:.3f} (its input: {result['f1_pca']:.3f})")
    return result


if __name__ == "__main__":
    main()
