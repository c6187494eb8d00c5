"""The encoder in a small size, for its tests."""

import torch

from stofm_pyg.nn import NodeType, SE2TransformerConv, SliceEncoder

EVALUATORS = SE2TransformerConv.evaluators


def make_encoder(conv="SE2TransformerConv", num_layers=2, **kwargs):
    torch.manual_seed(0)
    options = {"heads": 2, "num_gaussians": 6, "max_distance": 3.0} | kwargs
    return SliceEncoder(5, 8, num_layers, conv, **options)


def with_evaluator(encoder, evaluator):
    for block in encoder.blocks:
        block.conv.evaluator = evaluator
    return encoder


def valid_nodes(data):
    return data.node_type != NodeType.PADDING


def gradients(encoder, loss):
    return torch.autograd.grad(loss, list(encoder.parameters()))
