"""What the tests on a GPU share: the batches, and float64 numbers of the CPU to compare with."""

import os
import shutil
from functools import cache

import pytest
import torch

from stofm_pyg.nn import NodeType
from tests.nn.attention_case import SPECIAL
from tests.nn.encoder_case import gradients, make_encoder, with_evaluator
from tests.random_batch import arguments, random_batch

#: Coincident and single cells are in all of them.
BATCHES = {
    "one": {"sizes": (90,), "special": ()},
    "ragged": {"sizes": (70, 33, 2), "special": ()},
    "cls": {"sizes": (60, 17), "special": (NodeType.CLS,)},
    "virtual": {"sizes": (60, 17), "special": (NodeType.VIRTUAL, NodeType.VIRTUAL)},
    "padding": {"sizes": (60, 17, 5), "special": SPECIAL},
}


def outputs(encoder, data, compiled=None):
    """Features and pairs of real nodes, and all gradients; `compiled` shares the encoder's weights."""
    output = (encoder if compiled is None else compiled)(*arguments(data))
    valid = data.node_type != NodeType.PADDING
    x, scored = output.x[valid], output.pair.pairs(data.edge_index)
    grads = gradients(encoder, x.sin().sum() + scored.square().mean())
    return [value.detach().cpu().double() for value in (x, scored, *grads)]


@cache
def reference(name):
    """What the equation as it is written gives in double precision on the CPU."""
    encoder = with_evaluator(make_encoder().double(), "edgewise")
    return outputs(encoder, random_batch(**BATCHES[name], dtype=torch.float64))


def assert_all_near(actual, expected, tolerance):
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.isfinite().all() and theirs.abs().max() > 0
        # The gradient of the one shift of all distances is a sum of large terms that cancel out.
        assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max().clamp(min=0.1)


def need_compiler():
    """Inductor writes C++ for a CPU and Triton's launcher for a GPU, and has them compiled."""
    if not any(shutil.which(name) for name in (os.environ.get("CXX") or "c++", "g++", "clang++")):
        pytest.skip("torch.compile with inductor needs a C++ compiler (g++ or clang++)")
