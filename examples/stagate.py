r"""A graph attention auto-encoder after STAGATE (Dong & Zhang, 2022) on slices of tissue:
`python examples/stagate.py --data FILE.h5ad`.

The encoder attends to a cell's neighbours once; the decoder mirrors it with the same weights,
transposed, and the same attention. Prints how well tissue domains follow from the embedding.
"""

import torch
import torch.nn.functional as F
from common import arguments, domain_f1, load_slices
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import add_self_loops, softmax


class Propagate(MessagePassing):
    r"""The mean of neighbours, weighted by an attention that is given."""

    def __init__(self):
        super().__init__(aggr="add")

    def forward(self, x: Tensor, edge_index: Tensor, alpha: Tensor) -> Tensor:
        return self.propagate(edge_index, x=x, alpha=alpha)

    def message(self, x_j: Tensor, alpha: Tensor) -> Tensor:
        return alpha.unsqueeze(-1) * x_j


class Stagate(torch.nn.Module):
    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int):
        super().__init__()
        self.weight1 = Parameter(torch.empty(in_channels, hidden_channels))
        self.weight2 = Parameter(torch.empty(hidden_channels, out_channels))
        self.att = Parameter(torch.empty(2, hidden_channels))
        self.propagate = Propagate()
        for parameter in self.parameters():
            torch.nn.init.xavier_normal_(parameter)

    def forward(self, x: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
        edge_index, _ = add_self_loops(edge_index, num_nodes=x.size(0))
        h = x @ self.weight1
        source, target = (h @ self.att.t()).t()
        score = (source[edge_index[0]] + target[edge_index[1]]).sigmoid()
        alpha = softmax(score, edge_index[1], num_nodes=x.size(0))
        z = F.elu(self.propagate(h, edge_index, alpha)) @ self.weight2
        h = F.elu(self.propagate(z @ self.weight2.t(), edge_index, alpha))
        return z, h @ self.weight1.t()


def main(argv: list[str] | None = None) -> dict[str, float]:
    args = arguments(__doc__, argv, epochs=300, hidden=128, channels=30)
    slices = load_slices(args)
    model = Stagate(slices[0].num_features, args.hidden, args.channels)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4)
    for epoch in range(args.epochs):
        optimizer.zero_grad()
        total = 0.0
        for data in slices:
            loss = F.mse_loss(model(data.x, data.edge_index)[1], data.x) / len(slices)
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if epoch == 0:
            first = total

    model.eval()
    with torch.no_grad():
        embeddings = [model(data.x, data.edge_index)[0] for data in slices]
    result = {
        "error": total / first,
        "f1": domain_f1(slices, embeddings, args.label),
        "f1_pca": domain_f1(slices, [data.x for data in slices], args.label),
    }
    print(f"reconstruction error: {result['error']:.1%} of that before training")
    print(f"macro-F1 of '{args.label}': {result['f1']:.3f} (its input: {result['f1_pca']:.3f})")
    return result


if __name__ == "__main__":
    main()
