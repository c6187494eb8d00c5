"""Compiled by inductor, which writes C++; the other tests of compilation stop before that."""

import pytest
import torch

from tests.gpu.gpu_case import assert_all_near, need_compiler, outputs
from tests.nn.encoder_case import make_encoder
from tests.random_batch import random_batch


@pytest.fixture(autouse=True)
def compiler():
    need_compiler()
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def test_forward_and_backward_are_those_of_the_plain_encoder():
    encoder = make_encoder(num_layers=1)
    compiled = torch.compile(encoder, fullgraph=True, dynamic=True)
    for sizes in ((9, 6, 2), (5, 8)):
        data = random_batch(sizes=sizes)
        assert_all_near(outputs(encoder, data, compiled), outputs(encoder, data), 1e-5)
