import pytest
import torch
from torch_geometric.data import Data

from stofm_pyg.models import FeatureScale, JointModel, SToFM
from stofm_pyg.models.joint_model import batch_tokens, mean_by_part
from stofm_pyg.nn import NodeType
from tests.cell_encoders import make_cells, make_encoder
from tests.random_batch import random_batch


def make_model():
    torch.manual_seed(0)
    return SToFM(6, 8, 1, heads=2, num_gaussians=4)


@pytest.fixture
def cell_encoder():
    encoder = make_encoder()
    encoder.scale = FeatureScale.fit([encoder.encode(make_cells((8,) * 40, seed=1))])
    return encoder


@pytest.fixture
def batch(cell_encoder):
    """Two subpatches, with virtual cells in between and cells that are masked."""
    data = random_batch((20, 14), channels=6, special=(NodeType.VIRTUAL,) * 2)
    is_cell = data.node_type == NodeType.CELL
    lengths = 2 + torch.randperm(34, generator=torch.Generator().manual_seed(0)) % 9
    cells = make_cells(tuple(lengths.tolist()))
    data.tokens, data.lengths = cells.tokens, cells.lengths
    data.x[is_cell] = cell_encoder.encode(cells)
    data.mask = is_cell & (torch.arange(data.num_nodes) % 5 == 2)
    return data


def test_as_with_features_that_were_kept(batch, cell_encoder):
    model = make_model().eval()
    joint = JointModel(cell_encoder, model).eval()
    assert torch.allclose(joint(batch).x, model(batch).x, atol=1e-4)


def test_what_drifts_for_all_cells_alike_is_taken_out(batch, cell_encoder):
    model = make_model().eval()
    joint = JointModel(cell_encoder, model, standardize=True).eval()
    # Each slice has a centre and a spread of its own, which were taken out.
    center = torch.randn(2, 6, generator=torch.Generator().manual_seed(1))
    batch.x = (batch.x - center[batch.batch]) * torch.tensor([0.5, 3.0])[batch.batch, None]
    expected = model(batch).x
    assert torch.allclose(joint(batch).x, expected, atol=1e-4)
    cell_encoder.scale.mean += 3.0
    cell_encoder.scale.weight *= 2.0
    assert torch.allclose(joint(batch).x, expected, atol=1e-4)
    joint.standardize = False
    assert not torch.allclose(joint(batch).x, expected, atol=1e-2)


def test_noise_is_of_training_alone(batch, cell_encoder):
    joint = JointModel(cell_encoder, make_model(), jitter=0.5).train()
    cell_encoder.eval()
    seen = []
    joint.model.forward = lambda data: seen.append(data.x)
    for mode in (True, False):
        joint.jitter, joint.training = 0.5, mode
        joint(batch)
    noise = seen[0] - seen[1]
    assert float(noise.detach().std()) == pytest.approx(0.5, rel=0.1)
    assert torch.allclose(seen[1][~batch.mask], batch.x[~batch.mask], atol=1e-4)


def test_means_of_parts():
    x = torch.tensor([[1.0], [2.0], [6.0]])
    assert mean_by_part(x, torch.tensor([0, 2, 2])).tolist() == [[1.0], [4.0], [4.0]]
    assert mean_by_part(x[:0], torch.tensor([], dtype=torch.long)).shape == (0, 1)


def test_cells_get_what_the_encoder_says_in_any_parts(batch, cell_encoder):
    cells = batch.node_type == NodeType.CELL
    for max_tokens in (1, 40, 100_000):
        x = JointModel(cell_encoder, make_model(), max_tokens).encode(batch_tokens(batch))
        assert torch.allclose(x, batch.x[cells], atol=1e-4)


def test_gradients_do_not_depend_on_the_parts(batch, cell_encoder):
    grads = []
    for max_tokens in (50, 100_000):
        joint = JointModel(cell_encoder, make_model(), max_tokens).eval()
        joint.zero_grad()
        joint(batch).x.square().sum().backward()
        grads.append([p.grad.clone() for p in joint.cell_encoder.proj.parameters()])
        word = joint.cell_encoder.bert.get_input_embeddings().weight.grad
        grads[-1].append(word.clone())
    assert grads[0][0].abs().max() > 0
    for one, other in zip(*grads, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


def test_masked_cells_are_not_encoded(batch, cell_encoder):
    joint = JointModel(cell_encoder, make_model()).eval()
    expected = joint(batch).x
    other = batch.clone()
    masked = batch.mask[batch.node_type == NodeType.CELL]
    hidden = masked.repeat_interleave(batch.lengths)
    other.tokens = torch.where(hidden, 2, batch.tokens)
    assert not torch.equal(other.tokens, batch.tokens)
    assert torch.equal(joint(other).x, expected)


def test_a_batch_without_tokens(batch, cell_encoder):
    data = Data(**{key: value for key, value in batch if key not in ("tokens", "lengths")})
    with pytest.raises(ValueError, match=r"34 cells and tokens of none; make it with 'CorpusDataset"):
        JointModel(cell_encoder, make_model())(data)
    data.tokens, data.lengths = batch.tokens, batch.lengths[:9]
    with pytest.raises(ValueError, match=r"34 cells and tokens of 9"):
        JointModel(cell_encoder, make_model())(data)


def test_longer_cells_are_cut(cell_encoder):
    joint = JointModel(cell_encoder, make_model())
    cells = make_cells((30, 4, 20))
    assert torch.allclose(joint.encode(cells), cell_encoder.encode(cells.truncate(16)), atol=1e-5)
    assert joint.encode(cells[:0]).shape == (0, 6)
