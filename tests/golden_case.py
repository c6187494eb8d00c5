"""The reference runs of the official code in `golden/`, as the graphs that our layers take."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch_geometric.data import Data

from stofm_pyg.models import from_official_state
from stofm_pyg.nn import NodeType, SliceEncoder

GOLDEN = Path(__file__).parent / "golden"
CASES = ("se2_post_ln", "se2_pre_ln")
FAR = 100.0


class GoldenCase:
    def __init__(self, name):
        self.config = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))["config"]
        self.tensors = load_file(GOLDEN / f"{name}.safetensors")
        self.valid = self.tensors["in.token_types"] != NodeType.PADDING
        self.valid_pairs = self.valid.unsqueeze(1) & self.valid.unsqueeze(2)
        self.num_layers = self.config["num_hidden_layers"]
        self.heads = self.config["num_attention_heads"]

    def part(self, prefix):
        """The tensors whose names start with `prefix`, without it."""
        return {k[len(prefix) :]: v for k, v in self.tensors.items() if k.startswith(prefix)}

    def nodes(self, name):
        """A padded tensor's rows of the nodes, in the order of `batch()`."""
        return self.tensors[name][self.valid]

    def pairs(self, name):
        """A padded tensor's rows of the pairs, in the order of `PairRepresentation.all_pairs`."""
        return self.tensors[name][self.valid_pairs]

    def batch(self, dtype=torch.float32):
        num_graphs, size = self.valid.shape
        node = torch.full((num_graphs, size), -1)
        node[self.valid] = torch.arange(int(self.valid.sum()))

        distance = self.tensors["in.attn_bias"]
        graph, row, col = ((distance != 0) & (distance != FAR) & self.valid_pairs).nonzero().t()

        pair_labels = self.tensors["in.pair_labels"]
        scored_graph, query, key = (pair_labels != -100).nonzero().t()
        labels = self.nodes("in.labels")
        mask = labels[:, 0] != -100
        return Data(
            x=self.nodes("in.token_embeddings").to(dtype),
            edge_index=torch.stack([node[graph, col], node[graph, row]]),
            edge_attr=distance[graph, row, col].unsqueeze(-1).to(dtype),
            batch=torch.arange(num_graphs).unsqueeze(-1).expand(-1, size)[self.valid],
            node_type=self.nodes("in.token_types"),
            mask=mask,
            target=labels[mask].to(dtype),
            pair_index=torch.stack([node[scored_graph, key], node[scored_graph, query]]),
            pair_distance=pair_labels[scored_graph, query, key].to(dtype),
        )

    def encoder(self):
        encoder = SliceEncoder(
            self.config["input_dim"],
            self.config["embedding_dim"],
            self.num_layers,
            heads=self.heads,
            ffn_channels=self.config["ffn_embedding_dim"],
            num_gaussians=self.config["gaussian_hidden_dim"],
            act=self.config["activation_fn"],
            pre_norm=self.config["pre_layernorm"],
        )
        encoder.load_state_dict(from_official_state(self.part("state.model."), self.num_layers))
        return encoder


def load_head(objective, state):
    """Puts an official two-layer head (modules `0` and `2`) into an objective's `head`."""
    names = {"lins.0.weight": "0.weight", "lins.0.bias": "0.bias"}
    names |= {"lins.1.weight": "2.weight", "lins.1.bias": "2.bias"}
    objective.head.load_state_dict({ours: state[theirs] for ours, theirs in names.items()})
    return objective


def run_encoder(encoder, batch):
    return encoder(batch.x, batch.edge_index, batch.edge_attr, batch.batch, batch.node_type)


def largest_error(actual, expected):
    """The largest difference, relative to the largest expected value."""
    assert actual.shape == expected.shape
    actual, expected = actual.detach().double(), expected.detach().double()
    return float((actual - expected).abs().max() / expected.abs().max())
