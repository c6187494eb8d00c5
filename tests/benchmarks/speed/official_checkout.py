"""A stand-in for a checkout of the official code: its names and equations, in few lines."""

UTILS = """
from geneformer import DataCollatorForCellClassification
from geneformer.collator_for_classification import PrecollatorForGeneAndCellClassification
from geneformer.pretrainer import token_dictionary

token_dictionary["<cls>"] = len(token_dictionary)


class Collator(DataCollatorForCellClassification):
    pass


class SToFMConfig:
    def __init__(self, **kwargs):
        vars(self).update(kwargs)
"""
MODEL = """
import math

import torch
from torch import nn

from .utils import SToFMConfig


class Gaussian(nn.Module):
    def __init__(self, k, heads):
        super().__init__()
        self.linear = nn.Linear(1, 1)
        self.means = nn.Embedding(1, k)
        self.stds = nn.Embedding(1, k)
        self.proj = nn.Sequential(nn.Linear(k, k), nn.ReLU(), nn.Linear(k, heads))

    def forward(self, distance):
        std = self.stds.weight[0].abs() + 1e-5
        offset = (self.linear(distance.unsqueeze(-1)) - self.means.weight[0]) / std
        out = self.proj(torch.exp(-0.5 * offset**2) / (math.sqrt(2 * math.pi) * std))
        return out.masked_fill(distance.eq(0).unsqueeze(-1), 0.0).permute(0, 3, 1, 2)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        for part in ("q", "k", "v", "out"):
            setattr(self, f"{part}_proj", nn.Linear(width, width))

    def forward(self, x, logits):
        q, k, v = (
            getattr(self, f"{part}_proj")(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in "qkv"
        )
        logits = logits + q @ k.transpose(-1, -2) * SCALE / math.sqrt(q.size(-1))
        return self.out_proj((logits.softmax(-1) @ v).transpose(1, 2).flatten(2)), logits


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x, logits):
        h, logits = self.self_attn(x, logits)
        x = self.self_attn_layer_norm(x + h)
        h = self.fc2(nn.functional.gelu(self.fc1(x)))
        return self.final_layer_norm(x + h), logits


class SToFMModel(nn.Module):
    def __init__(self, config):
        super().__init__()
        assert config.dropout == config.attention_dropout == config.activation_dropout == 0
        width, heads = config.embedding_dim, config.num_attention_heads
        self.embedding_layer = nn.Linear(config.input_dim, width)
        self.token_type_embeddings = nn.Embedding(4, width)
        self.gaussian = Gaussian(config.gaussian_hidden_dim, heads)
        self.encoder = nn.Module()
        layers = range(config.num_hidden_layers)
        self.encoder.layers = nn.ModuleList(Layer(width, heads) for _ in layers)

    def forward(self, x, distance, token_types):
        x = self.embedding_layer(x) + self.token_type_embeddings(token_types)
        logits = self.gaussian(distance)
        for layer in self.encoder.layers:
            x, logits = layer(x, logits)
        return {"last_hidden_state": x, "pair_rep": logits.permute(0, 2, 3, 1)}
"""


def write_checkout(folder, scale=1.0):
    """Writes the stand-in; with another `scale` than 1, its attention is wrong."""
    model = folder / "model"
    model.mkdir(parents=True)
    (model / "__init__.py").write_text("")
    (model / "utils.py").write_text(UTILS)
    (model / "se2transformer.py").write_text(f"SCALE = {scale}\n{MODEL}")
    return folder
