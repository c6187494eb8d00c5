"""Small random batches of subpatches with everything that a real one may hold."""

import torch
from torch_geometric.data import Data

from stofm_pyg.nn import NodeType


def random_batch(sizes=(9, 6), channels=5, special=(1, 2, 2), radius=1.2, seed=0, dtype=torch.float32):
    """Subpatches of `sizes` cells, the first two of which coincide and the last of which has no
    neighbour. Nodes of the types `special`, CLS and virtual cells, come on top, tied to all nodes."""
    generator = torch.Generator().manual_seed(seed)
    pos, node_type, edge_index, edge_attr, batch = [], [], [], [], []
    start = 0
    for number, cells in enumerate(sizes):
        kinds = torch.tensor([NodeType.CELL] * cells + list(special))
        place = 2 * torch.rand(kinds.numel(), 2, generator=generator, dtype=torch.float64)
        place[1:2] = place[0]
        place[cells - 1] = torch.tensor([20.0, 30.0], dtype=torch.float64)

        distance = (place.unsqueeze(0) - place.unsqueeze(1)).norm(dim=-1)
        hub, cls = kinds != NodeType.CELL, kinds == NodeType.CLS
        is_edge = (distance <= radius) | hub.unsqueeze(0) | hub.unsqueeze(1)
        distance[cls] = 0.0
        distance[:, cls] = 0.0
        row, col = is_edge.fill_diagonal_(False).nonzero().t()

        pos.append(place)
        node_type.append(kinds)
        edge_index.append(torch.stack([row, col]) + start)
        edge_attr.append(distance[row, col].unsqueeze(-1))
        batch.append(torch.full((kinds.numel(),), number))
        start += kinds.numel()
    return Data(
        x=torch.randn(start, channels, generator=generator, dtype=torch.float64).to(dtype),
        pos=torch.cat(pos).to(dtype),
        node_type=torch.cat(node_type),
        edge_index=torch.cat(edge_index, dim=1),
        edge_attr=torch.cat(edge_attr).to(dtype),
        batch=torch.cat(batch),
    )


def arguments(data):
    """What a layer or an encoder is called with."""
    return data.x, data.edge_index, data.edge_attr, data.get("batch"), data.get("node_type")
