r"""Speed and memory of the SE(2) Transformer against the official code and plain attention:
`python benchmarks/speed/se2_transformer.py [--official CHECKOUT] [--json FILE]`.

Random cells, one per unit of area, about 50 neighbours each, and virtual cells tied to all; float32
(--bf16: bfloat16 where autocast computes in it), no dropout; --batch subpatches of --cells cells each.
Ours starts from the graph, the official code from a dense matrix of distances made before.
`plain-attention` is PyTorch's encoder of the same shape, without distances. Features, the pairs that a
loss reads, and gradients are compared before anything is timed.
"""

import math
import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import Linear, Sequential, TransformerEncoder, TransformerEncoderLayer
from torch_geometric.data import Batch, Data

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.speed.harness import Benchmark, num  # noqa: E402
from benchmarks.speed.official_model import official_distances, official_encoder  # noqa: E402
from stofm_pyg.models import from_official_state  # noqa: E402
from stofm_pyg.nn import NodeType, SE2TransformerConv, SliceEncoder  # noqa: E402
from stofm_pyg.transforms import ConnectVirtualCells, SpatialRadiusGraph  # noqa: E402

FORWARD, TRAINING = "forward", "forward+backward"
OFFICIAL, PLAIN, AUTO = "official", "plain-attention", "auto"
RADIUS, PAIRS, LARGEST_ERROR = 4.0, 2000, 1e-4
LARGEST_ERROR_BF16 = 0.1  # Four layers of numbers with three digits.


class SE2Benchmark(Benchmark):
    r"""Our encoder by each evaluator, the official one with the same weights, and plain attention."""

    baselines = (OFFICIAL, PLAIN)
    options = {
        "official": {"metavar": "CHECKOUT", "help": "the official repository"},
        "virtual_cells": num(50, "of a subpatch"),
        "layers": num(4, "of the encoder"),
        "heads": num(8, "attention heads"),
        "channels": num(256, "width of all layers and inputs"),
        "gaussians": num(128, "basis functions of a distance"),
        "batch": num(1, "subpatches at a time"),
        "bf16": {"action": "store_true", "help": "compute in bfloat16"},
        "cases": {"default": f"{FORWARD},{TRAINING}", "help": "comma-separated (default: all)"},
        "sides": {"help": "comma-separated (default: all that there are)"},
    }

    def __init__(self, args):
        super().__init__(args)
        left_out = {"edgewise", AUTO} | (set() if self.device.type == "cuda" else {"fused"})
        ours = [name for name in SE2TransformerConv.evaluators if name not in left_out]
        known = [OFFICIAL] * bool(args.official) + [*ours, AUTO, PLAIN]
        self.cases = args.cases.split(",")
        self.sides = args.sides.split(",") if args.sides else known
        if not set(self.sides) <= set(known) or not set(self.cases) <= {FORWARD, TRAINING}:
            raise ValueError(
                f"Unknown --sides {args.sides} or --cases {args.cases}; known: {', '.join(known)} "
                f"('official' needs --official CHECKOUT) and {FORWARD}, {TRAINING}"
            )

    def build(self, case, side, cells):
        return Side(side, case, make_batch(cells, self.args).to(self.device), self.args)

    def check(self, case, cells, calls):
        values = {side: call.values() for side, call in calls.items() if side != PLAIN}
        first, *others = values or [None]
        out = {}
        for side in others:
            pairs = [(values[side][part], value) for part, value in values[first].items()]
            error = max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
            largest = LARGEST_ERROR_BF16 if self.args.bf16 else LARGEST_ERROR
            if not error <= largest:
                raise ValueError(
                    f"'{side}' differs from '{first}' at {cells:,} cells by {error:.1e} of the largest "
                    f"value; more than {largest:g} is an error, so times would mean nothing"
                )
            out[side] = {"max_relative_error": error, "compared_with": first}
        return out


class Side:
    r"""An encoder on a batch of subpatches of one size, which gives features and the representation of
    some pairs of the first; with a backward pass in training."""

    def __init__(self, name: str, case: str, data: Data, args):
        self.name, self.data, self.training = name, data, case == TRAINING
        self.batch, self.bf16 = args.batch, args.bf16
        generator, size = torch.Generator().manual_seed(args.seed), data.num_nodes // args.batch
        self.pairs = torch.randint(size, (2, PAIRS), generator=generator).to(data.x.device)
        self.model = make_encoder(name, args).to(data.x.device).train(self.training)
        self.distances = None
        if name == OFFICIAL:
            self.distances = official_distances(data)

    def _run(self) -> list[Tensor]:
        data, (source, target) = self.data, self.pairs
        padded = data.x.view(self.batch, -1, data.x.size(1))
        if self.name == PLAIN:
            return [self.model(padded).flatten(0, 1)]
        if self.name == OFFICIAL:
            node_type = data.node_type.view(self.batch, -1).long()
            out = self.model(padded, self.distances, node_type)
            return [out["last_hidden_state"].flatten(0, 1), out["pair_rep"][0, target, source]]
        out = self.model(data.x, data.edge_index, data.edge_attr, data.get("batch"), data.node_type)
        return [out.x, out.pair.pairs(self.pairs)]

    def __call__(self) -> list[Tensor]:
        autocast = torch.autocast(self.data.x.device.type, torch.bfloat16, enabled=self.bf16)
        with torch.set_grad_enabled(self.training), autocast:
            out = [part.float() for part in self._run()]
        if self.training:
            self.model.zero_grad(set_to_none=True)
            # Not the mean square of features: after a norm that is one, and has no gradient.
            losses = [(out[0] - self.data.x).square().mean(), *(x.square().mean() for x in out[1:])]
            sum(losses).backward()
        return out

    def values(self) -> dict[str, Tensor]:
        r"""Features, pairs and, by the names of our encoder, all gradients in one, of one run."""
        out = dict(zip(("features", "pairs"), (part.detach() for part in self()), strict=True))
        if self.training:
            grads = {k: p.grad for k, p in self.model.named_parameters() if p.grad is not None}
            if self.name == OFFICIAL:
                grads = from_official_state(grads, len(self.model.encoder.layers))
            out["gradient"] = torch.cat([grads[name].flatten() for name in sorted(grads)])
        return out


def make_encoder(name: str, args) -> torch.nn.Module:
    r"""Makes an encoder, with the weights of the official one where there is one."""
    channels, heads, layers, official = args.channels, args.heads, args.layers, None
    if args.official and name != PLAIN:
        official = official_encoder(
            args.official, args.seed, input_dim=channels, embedding_dim=channels,
            ffn_embedding_dim=channels, num_hidden_layers=layers, num_attention_heads=heads,
            gaussian_hidden_dim=args.gaussians,
        )  # fmt: skip
    if name == OFFICIAL:
        return official
    torch.manual_seed(args.seed)
    if name == PLAIN:
        torch.backends.mha.set_fastpath_enabled(False)  # It has no fused attention on a CPU.
        layer = TransformerEncoderLayer(channels, heads, channels, 0.0, "gelu", batch_first=True)
        encoder = TransformerEncoder(layer, layers, enable_nested_tensor=False)
        return Sequential(Linear(channels, channels), encoder)
    options = {"num_gaussians": args.gaussians} | ({} if name == AUTO else {"evaluator": name})
    ours = SliceEncoder(channels, channels, layers, heads=heads, **options)
    if official is not None:
        ours.load_state_dict(from_official_state(official.state_dict(), layers))
    return ours


def make_batch(cells: int, args) -> Data:
    r"""Makes as many subpatches as asked for, of one graph and other features each."""
    data = make_subpatch(cells, args)
    if args.batch == 1:
        return data
    generator, parts = torch.Generator().manual_seed(args.seed + 1), []
    for _ in range(args.batch):
        parts.append(data.clone())
        parts[-1].x = torch.randn(data.x.shape, generator=generator)
    return Batch.from_data_list(parts)


def make_subpatch(cells: int, args) -> Data:
    r"""A random subpatch of so many cells and some virtual cells."""
    generator, nodes = torch.Generator().manual_seed(args.seed), cells + args.virtual_cells
    node_type = torch.full((nodes,), int(NodeType.CELL), dtype=torch.uint8)
    node_type[cells:] = int(NodeType.VIRTUAL)
    x = torch.randn(nodes, args.channels, generator=generator)
    pos = math.sqrt(cells) * torch.rand(nodes, 2, generator=generator)
    return ConnectVirtualCells()(SpatialRadiusGraph(RADIUS)(Data(x=x, pos=pos, node_type=node_type)))


if __name__ == "__main__":
    sys.exit(SE2Benchmark.main())
