r"""What the benchmark of the SE(2) Transformer compares: encoders behind one face."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.data import Data

from benchmarks.speed.official_model import official_distances, official_encoder
from benchmarks.speed.plain_attention import PlainEncoder
from stofm_pyg.models import from_official_state
from stofm_pyg.nn import SE2TransformerConv, SliceEncoder

OFFICIAL, PLAIN, AUTO = "official", "plain-attention", "auto"


@dataclass(frozen=True)
class EncoderSize:
    r"""The shape of the encoders."""

    layers: int = 4
    heads: int = 8
    channels: int = 256
    gaussians: int = 128


class Side:
    r"""An encoder and a batch, run by :meth:`forward` or, with a backward pass, :meth:`step`.

    Args:
        model (torch.nn.Module): The encoder.
        data (Data): The batch of subpatches of one size.
        pairs (torch.Tensor): The pairs :math:`(2, P)` that the loss reads, written as edges.
    """

    def __init__(self, model: torch.nn.Module, data: Data, pairs: Tensor):
        self.model = model
        self.data = data
        self.pairs = pairs
        self.size = data.num_nodes // data.num_graphs

    def output(self) -> object:
        r"""Runs the encoder."""
        raise TypeError(f"{type(self).__name__} has no encoder")

    def read(self, output: object) -> tuple[Tensor, Tensor | None]:
        r"""The features :math:`(N, C)` and the pair representation :math:`(P, H)` in an output."""
        raise TypeError(f"{type(self).__name__} has no encoder")

    def forward(self) -> object:
        r"""Runs the encoder as for embeddings."""
        self.model.eval()
        with torch.no_grad():
            return self.output()

    def step(self) -> object:
        r"""Runs the encoder and the backward pass of a loss on features and pairs."""
        self.model.train()
        self.model.zero_grad(set_to_none=True)
        output = self.output()
        x, pairs = self.read(output)
        # Not the mean square of the features alone: after a norm that is one, and has no gradient.
        loss = (x - self.data.x).square().mean()
        if pairs is not None:
            loss = loss + pairs.square().mean()
        loss.backward()
        return output

    def gradients(self) -> dict[str, Tensor]:
        r"""The gradients of the last step by the names of our encoder."""
        return {name: p.grad for name, p in self.model.named_parameters() if p.grad is not None}


class OurSide(Side):
    r"""Our encoder; it starts from the graph."""

    def output(self):
        data = self.data
        return self.model(data.x, data.edge_index, data.edge_attr, data.batch, data.node_type)

    def read(self, output):
        return output.x, output.pair.pairs(self.pairs)


class OfficialSide(Side):
    r"""The official encoder; it starts from the dense matrix of distances, made beforehand."""

    def __init__(self, model, data, pairs):
        super().__init__(model, data, pairs)
        self.distances = official_distances(data)
        self.x = data.x.view(data.num_graphs, self.size, -1)
        self.node_type = data.node_type.long().view(data.num_graphs, -1)

    def output(self):
        return self.model(self.x, self.distances, self.node_type)

    def read(self, output):
        source, target = self.pairs
        pairs = output["pair_rep"][target // self.size, target % self.size, source % self.size]
        return output["last_hidden_state"].flatten(0, 1), pairs

    def gradients(self):
        return from_official_state(super().gradients(), len(self.model.encoder.layers))


class PlainSide(Side):
    r"""Plain attention of the same shape."""

    def __init__(self, model, data, pairs):
        super().__init__(model, data, pairs)
        self.x = data.x.view(data.num_graphs, self.size, -1)
        self.node_type = data.node_type.long().view(data.num_graphs, -1)

    def output(self):
        return self.model(self.x, self.node_type)

    def read(self, output):
        return output.flatten(0, 1), None


def known_evaluators(device: torch.device) -> list[str]:
    r"""The evaluators worth measuring on a device, by name."""
    left_out = {"edgewise", AUTO} | (set() if device.type == "cuda" else {"fused"})
    return [name for name in SE2TransformerConv.evaluators if name not in left_out]


def make_side(
    name: str,
    data: Data,
    pairs: Tensor,
    size: EncoderSize,
    official: str | Path | None = None,
    seed: int = 0,
) -> Side:
    r"""Makes a side by name, on the device of the batch; all sides get the weights of the official
    encoder where there is one.

    Args:
        name (str): :obj:`"official"`, :obj:`"plain-attention"`, :obj:`"auto"` for what our encoder
            does by default, or the name of an evaluator.
        data (Data): The batch of subpatches of one size.
        pairs (torch.Tensor): The pairs that the loss reads.
        size (EncoderSize): The shape of the encoder.
        official (str or Path, optional): A checkout of the official code. (default: :obj:`None`)
        seed (int, optional): The seed of the weights. (default: :obj:`0`)
    """
    device = data.x.device
    theirs = None
    if official is not None and name != PLAIN:
        theirs = official_encoder(
            official,
            seed,
            num_hidden_layers=size.layers,
            embedding_dim=size.channels,
            ffn_embedding_dim=size.channels,
            num_attention_heads=size.heads,
            gaussian_hidden_dim=size.gaussians,
            input_dim=data.x.size(1),
        )
    if name == OFFICIAL:
        if theirs is None:
            raise ValueError("The side 'official' needs a checkout of the official code: --official")
        return OfficialSide(theirs.to(device), data, pairs)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == PLAIN:
            model = PlainEncoder(data.x.size(1), size.channels, size.layers, size.heads)
            return PlainSide(model.to(device), data, pairs)
        ours = SliceEncoder(
            data.x.size(1),
            size.channels,
            size.layers,
            heads=size.heads,
            num_gaussians=size.gaussians,
            **({} if name == AUTO else {"evaluator": name}),
        )
    if theirs is not None:
        ours.load_state_dict(from_official_state(theirs.state_dict(), size.layers))
    return OurSide(ours.to(device), data, pairs)
