"""The operator in a small size, for its tests."""

import copy

import torch

from stofm_pyg.nn import NodeType, SE2TransformerConv

EVALUATORS = SE2TransformerConv.evaluators


def make_conv(in_channels=5, out_channels=8, heads=2, num_gaussians=6, **kwargs):
    torch.manual_seed(0)
    return SE2TransformerConv(
        in_channels, out_channels, heads, num_gaussians=num_gaussians, max_distance=3.0, **kwargs
    )


def with_evaluator(conv, evaluator):
    conv = copy.deepcopy(conv)
    conv.evaluator = evaluator
    return conv


def gradients(module, loss):
    return torch.autograd.grad(loss, list(module.parameters()))


def valid_nodes(data):
    return data.node_type != NodeType.PADDING
