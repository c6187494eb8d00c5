import pytest
import torch

from tests.gpu.gpu_case import BATCHES, assert_all_near, need_compiler, outputs, reference
from tests.nn.encoder_case import make_encoder
from tests.random_batch import arguments, random_batch

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("exact", "compiler")]


def test_inductor(device):
    need_compiler()
    encoder = make_encoder().to(device)
    compiled = torch.compile(encoder, fullgraph=True, dynamic=True)
    for name in ("ragged", "padding"):
        data = random_batch(**BATCHES[name]).to(device)
        actual = outputs(encoder, data, compiled)
        assert_all_near(actual, reference(name), 5e-5)
        assert_all_near(actual, outputs(encoder, data), 5e-5)


def test_without_gradient(device):
    need_compiler()
    encoder = make_encoder(num_layers=1).to(device)
    compiled, data = torch.compile(encoder, dynamic=True), random_batch().to(device)
    with torch.no_grad():
        actual, expected = compiled(*arguments(data)), encoder(*arguments(data))
    assert (actual.x - expected.x).abs().max() <= 1e-5 * expected.x.abs().max()
