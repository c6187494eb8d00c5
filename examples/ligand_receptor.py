r"""Do ligands and receptors tell the layer more than distances? `python examples/ligand_receptor.py`.

`LigandReceptorPrior` scores each edge by the ligands of its source and the receptors of its target;
`SliceEncoder(prior_channels=1)` adds it to the bias of each head. The same model is trained with and
without, on domains of all slices but the first. Prints macro-F1 on the first one for both.

Pairs come from `pip install liana` (`--pairs consensus`) or a CSV file of two columns. Generated tissue
has no real genes; its first twenty are taken as ten pairs.
"""

import anndata
import torch
import torch.nn.functional as F
from common import arguments
from sklearn.metrics import f1_score
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import Compose

from stofm_pyg.data import slices_from_anndata
from stofm_pyg.datasets import generate_tissue
from stofm_pyg.loader import RandomRegions, SpatialClusterData
from stofm_pyg.nn import SliceEncoder, start_local
from stofm_pyg.transforms import LigandReceptorPrior, SpatialRadiusGraph

RADIUS = 5.0


class Classifier(torch.nn.Module):
    def __init__(self, in_channels: int, num_classes: int, prior_channels: int):
        super().__init__()
        self.encoder = SliceEncoder(
            in_channels, 32, 2, heads=4, num_gaussians=16, dropout=0.2, prior_channels=prior_channels
        )
        start_local(self.encoder, RADIUS)
        self.lin = torch.nn.Linear(32, num_classes)

    def forward(self, data: Data) -> Tensor:
        prior = data.edge_prior if self.encoder.prior_channels > 0 else None
        out = self.encoder(data.x, data.edge_index, data.edge_attr, edge_prior=prior)
        return self.lin(out.x)


def score(slices: list[Data], prior: LigandReceptorPrior, args, prior_channels: int):
    r"""Trains on all slices but the first; returns macro-F1 on that, and the model."""
    torch.manual_seed(args.seed)
    transform = Compose([SpatialRadiusGraph(RADIUS), prior])
    regions = RandomRegions(slices[1:] or slices, 100, 300, transform, args.seed)
    num_classes = 1 + max(int(data[args.label].max()) for data in slices)
    model = Classifier(slices[0].num_features, num_classes, prior_channels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for epoch in range(args.epochs):
        for number in range(len(regions)):
            data = regions[number, epoch]
            optimizer.zero_grad()
            F.cross_entropy(model(data), data[args.label], ignore_index=-1).backward()
            optimizer.step()

    model.eval()
    with torch.no_grad():
        parts = [prior(part) for part in SpatialClusterData(slices[0], cells_per_part=500)]
        prediction = torch.cat([model(part).argmax(dim=1) for part in parts])
    truth = torch.cat([part[args.label] for part in parts])
    known = truth >= 0
    return float(f1_score(truth[known], prediction[known], average="macro")), model


def main(argv: list[str] | None = None) -> dict[str, float]:
    args = arguments(__doc__, argv, epochs=30, pairs="consensus")
    adata = anndata.read_h5ad(args.data) if args.data else generate_tissue(
        cells_per_slice=args.cells, seed=args.seed
    )  # fmt: skip
    pairs = args.pairs if args.data else zip(adata.var_names[:10], adata.var_names[10:20], strict=True)
    prior = LigandReceptorPrior(adata, pairs)
    slices = slices_from_anndata(
        adata, labels=args.label, slice_key=args.slice_key, radius=RADIUS, virtual_cells=False
    )
    without, _ = score(slices, prior, args, 0)
    f1, model = score(slices, prior, args, 1)
    weight = model.encoder.blocks[0].conv.prior_weight.detach().view(-1)
    print(f"{len(prior.pairs)} pairs have both their genes in the slices")
    print(f"macro-F1 without: {without:.3f}, with: {f1:.3f}")
    print(f"what a score of one adds to the logits of each head: {weight.numpy().round(2)}")
    return {"pairs": len(prior.pairs), "without": without, "with": f1, "weight": weight.tolist()}


if __name__ == "__main__":
    main()
