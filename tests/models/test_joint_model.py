import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.transforms import Compose

from stofm_pyg.corpus import CorpusDataset
from stofm_pyg.models import SToFM
from stofm_pyg.models.joint_model import JointModel, batch_tokens, mean_by_part
from stofm_pyg.nn import NodeType
from stofm_pyg.transforms import ConnectVirtualCells, MaskCells


def make_model():
    torch.manual_seed(0)
    return SToFM(6, 8, 1, heads=2, num_gaussians=4)


@pytest.fixture
def batch(corpus, features):
    """Two subpatches of two slices, with virtual cells in between."""
    transform = Compose([MaskCells(0.2), ConnectVirtualCells()])
    dataset = CorpusDataset(corpus, features, tokens=True, transform=transform)
    return Batch.from_data_list([dataset[0], dataset[len(dataset) - 1]])


def test_as_with_features_that_were_kept(batch, cell_encoder):
    model = make_model().eval()
    joint = JointModel(cell_encoder, model).eval()
    assert torch.allclose(joint(batch).x, model(batch).x, atol=1e-4)


def test_what_drifts_for_all_cells_alike_is_taken_out(batch, cell_encoder):
    model = make_model().eval()
    model.center = True
    joint = JointModel(cell_encoder, model).eval()
    # Each slice has a centre of its own, which was subtracted.
    center = torch.randn(2, 6, generator=torch.Generator().manual_seed(1))
    batch.x = batch.x - center[batch.batch]
    expected = model(batch).x
    assert torch.allclose(joint(batch).x, expected, atol=1e-4)
    cell_encoder.scale.mean += 3.0
    assert torch.allclose(joint(batch).x, expected, atol=1e-4)
    model.center = False
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


def test_a_batch_without_tokens(corpus, features, cell_encoder):
    data = CorpusDataset(corpus, features, transform=ConnectVirtualCells())[0]
    with pytest.raises(ValueError, match=r"tokens of none; make it with 'CorpusDataset"):
        JointModel(cell_encoder, make_model())(data)
