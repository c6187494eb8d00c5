r"""The layer and its slices in PyG's own tools: `python examples/pyg_tools.py --data FILE.h5ad`.

`torch_geometric.nn.summary` (needs tabulate), a `DataLoader` with workers over random regions, and
`torch.compile` of the whole encoder. Prints how far compiled and eager outputs differ.
"""

from importlib.util import find_spec

import torch
from common import arguments, load_slices
from torch_geometric.loader import DataLoader
from torch_geometric.nn import summary

from stofm_pyg.loader import RandomRegions
from stofm_pyg.nn import SliceEncoder
from stofm_pyg.transforms import SpatialRadiusGraph


def main(argv: list[str] | None = None) -> dict[str, float]:
    args = arguments(__doc__, argv, epochs=1, workers=2, backend="inductor")
    slices = load_slices(args)
    # A region depends on seed, number and pass alone, so workers change nothing.
    regions = RandomRegions(slices, 100, 300, SpatialRadiusGraph(5.0), args.seed)
    loader = DataLoader(regions, batch_size=2, num_workers=args.workers)

    encoder = SliceEncoder(slices[0].num_features, 32, num_layers=2, heads=4, num_gaussians=16).eval()
    batch = next(iter(loader))
    inputs = (batch.x, batch.edge_index, batch.edge_attr, batch.batch)
    if find_spec("tabulate"):
        print(summary(encoder, *inputs, max_depth=2))
    else:
        print("torch_geometric.nn.summary needs tabulate: pip install tabulate")

    compiled = torch.compile(encoder, fullgraph=True, dynamic=True, backend=args.backend)
    difference, cells = 0.0, 0
    for _ in range(args.epochs):
        for batch in loader:
            inputs = (batch.x, batch.edge_index, batch.edge_attr, batch.batch)
            with torch.no_grad():
                apart = compiled(*inputs).x - encoder(*inputs).x
            difference = max(difference, float(apart.abs().max()))
            cells += batch.num_nodes
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    print(f"{parameters:,} parameters; {cells} cells from {args.workers} workers")
    print(f"largest difference of compiled and eager outputs: {difference:.1e}")
    return {"difference": difference, "cells": cells, "parameters": parameters}


if __name__ == "__main__":
    main()
