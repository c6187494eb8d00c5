import pytest
import torch

from benchmarks.speed.cell_encoder import encode_padded
from stofm_pyg.models.cell_encoder.packed import pack_cells, packed_states
from tests.cell_encoders import make_cells, make_encoder, make_profiles

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("exact")]


@pytest.mark.parametrize("lengths", [(5, 1, 9, 5, 3, 9, 1, 12, 5, 7), (16,) * 40, (1,)], ids=str)
def test_packed_as_padded_cells(device, lengths):
    encoder, cells = make_encoder().to(device), make_cells(lengths)
    out = encoder.encode(cells)
    assert (out - encode_padded(encoder, cells)).abs().max() <= 1e-5
    double = make_encoder().double().encode(cells)
    assert (out - double).abs().max() <= 2e-5


def test_gradients_are_those_of_double_precision_on_the_cpu(device):
    cells, grads = make_profiles((5, 1, 9, 5, 12)), []
    for where, dtype in ((device, torch.float32), ("cpu", torch.float64)):
        encoder = make_encoder().to(where, dtype)
        packed = pack_cells(cells.ptr)
        tokens = cells.tokens[packed.index].long().to(where)
        states = packed_states(encoder.bert, tokens, packed.to(where))
        weights = [weight for weight in encoder.bert.parameters() if weight.requires_grad]
        found = torch.autograd.grad(states.sin().sum(), weights, allow_unused=True)
        grads.append([grad.cpu().double() for grad in found if grad is not None])
    assert len(grads[0]) > 20
    for ours, theirs in zip(*grads, strict=True):
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max().clamp(min=1e-2)
