import pytest
import torch
from scipy.stats import spearmanr

from stofm_pyg.data import CellTokens
from stofm_pyg.models import CellEncoder, FeatureScale
from stofm_pyg.models.cell_encoder import (
    GeneBag,
    keep_angles,
    max_components,
    spread_embeddings,
    start_as_bag,
)
from tests.cell_encoders import make_profiles


def make_encoder(*sizes, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = CellEncoder(*sizes)
        spread_embeddings(encoder)
        keep_angles(encoder)
    return encoder.eval()


def test_spread_embeddings():
    torch.manual_seed(0)
    encoder = CellEncoder(2000, 128, 1, 4, 16, 512, 8)
    spread_embeddings(encoder)
    embeddings = encoder.bert.embeddings
    words, positions = embeddings.word_embeddings.weight, embeddings.position_embeddings.weight
    assert words[1:].std().item() == pytest.approx(0.1, rel=0.02)
    assert words[0].abs().max() == 0
    # The cosine of two positions depends on how far apart they are alone, and falls from there.
    assert torch.allclose(positions.norm(dim=1), torch.full((512,), 0.1 * 128**0.5), atol=1e-4)
    cosine = torch.nn.functional.cosine_similarity
    near, far = cosine(positions[:-1], positions[1:]), cosine(positions[:-20], positions[20:])
    assert near.std() < 1e-5 and far.std() < 1e-5 and near[0] > far[0] + 0.1


def test_maps_that_keep_angles():
    encoder = make_encoder(13, 16, 2, 2, 32, 20, 16)
    words = encoder.bert.embeddings.word_embeddings.weight[1:]
    scale = words[0] @ words[0]
    torch.testing.assert_close(words @ words.t(), scale * torch.eye(12))
    attention = encoder.bert.encoder.layer[1].attention
    for linear in (attention.self.value, attention.output.dense, encoder.proj):
        torch.testing.assert_close(linear.weight @ linear.weight.t(), torch.eye(16))


@pytest.mark.parametrize("vocab_size", [13, 2003])
def test_embeddings_keep_their_deviation_and_come_from_torchs_generator(vocab_size):
    def words(seed):
        return (
            make_encoder(vocab_size, 256, 1, 4, 32, 20, 8, seed=seed).bert.get_input_embeddings().weight
        )

    assert 0.09 < words(0)[1:].std() < 0.11  # BERT's is 0.02
    assert torch.equal(words(0)[0], torch.zeros(256))
    assert torch.equal(words(0), words(0)) and not torch.equal(words(0), words(1))


def test_cells_keep_what_genes_they_have_before_any_adaptation():
    """Cells that share more genes are more alike, by rank correlation over all pairs."""
    generator = torch.Generator().manual_seed(0)
    cells = [(2 + torch.randperm(40, generator=generator)[:12]).tolist() for _ in range(60)]
    tokens = torch.tensor([[42, *cell] for cell in cells]).view(-1)
    x = make_encoder(43, 64, 1, 2, 128, 256, 64).encode(CellTokens(tokens, 13 * torch.arange(61)))
    x = x - x.mean(dim=0)
    shared = torch.tensor([[len({*a} & {*b}) for a in cells] for b in cells])
    pairs = torch.triu_indices(60, 60, 1).unbind()
    assert spearmanr((x @ x.t())[pairs], shared[pairs]).statistic > 0.8


def make_bag_encoder(channels=16, heads=2, num_layers=2, out_channels=16, **kwargs):
    cells = make_profiles(tuple(3 + i % 10 for i in range(80)))
    encoder = CellEncoder(
        20, channels, num_layers, heads, 24, max_length=16, out_channels=out_channels, **kwargs
    )
    bag = GeneBag.fit([cells], 20, max_components(encoder))
    start_as_bag(encoder, bag)
    return encoder.eval(), bag, cells


@pytest.mark.parametrize(
    ("channels", "heads", "num_layers", "out_channels"),
    [(16, 2, 2, 16), (32, 4, 3, 12), (24, 1, 1, 24)],
)
def test_the_embedding_of_a_cell_is_its_bag_of_genes(channels, heads, num_layers, out_channels):
    encoder, bag, cells = make_bag_encoder(channels, heads, num_layers, out_channels)
    number = bag.loadings.size(1)
    assert number == min(max_components(encoder), 17)
    for found in (encoder.encode(cells), encoder(cells)):
        assert torch.allclose(found[:, :number] * 300, bag(cells), atol=2e-4)
        assert torch.allclose(found[:, number], torch.ones(80), atol=1e-4)
        assert (found[:, number + 1 :] == 0).all()


def test_the_last_states_of_genes_are_small_and_training_mode_is_no_other():
    encoder, bag, cells = make_bag_encoder()
    states = encoder.hidden_states(cells.tokens, cells.lengths)
    assert float(states[cells.ptr[:-1], 4:].square().sum(1).mean()) == pytest.approx(16.0, rel=0.01)
    encoder.bert.config.attention_probs_dropout_prob = 0.0
    for layer in encoder.bert.encoder.layer:
        layer.attention.self.dropout.p = 0.0
    assert torch.allclose(encoder.train()(cells), encoder.eval()(cells), atol=1e-6)


def test_it_is_saved_and_read_with_its_scale(tmp_path):
    encoder, bag, cells = make_bag_encoder(gene_head=True)
    encoder.scale = FeatureScale.fit([encoder.encode(cells)], 5)
    encoder.save_pretrained(tmp_path)
    read = CellEncoder.from_pretrained(tmp_path).eval()
    assert read.out_channels == 5 and read.fingerprint() == encoder.fingerprint()
    assert torch.equal(read.encode(cells), encoder.encode(cells))
    # No dropout of states in the one that was read either.
    assert read.bert.embeddings.dropout.p == 0.0
    assert read.bert.encoder.layer[0].output.dropout.p == 0.0


def test_everything_can_be_learned_from_the_start():
    encoder, _, cells = make_bag_encoder(gene_head=True)
    encoder.scale = FeatureScale.fit([encoder.encode(cells)])
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-3)
    target = torch.randn(80, encoder.out_channels, generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (encoder(cells) - target).square().mean()
        loss.backward()
        losses.append(float(loss))
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]
    last = encoder.bert.encoder.layer[-1]
    for linear in (last.attention.self.query, last.attention.self.key, last.attention.self.value,
                   last.intermediate.dense, last.output.dense, encoder.proj):  # fmt: skip
        assert linear.weight.grad.abs().max() > 0
    first = encoder.bert.encoder.layer[0]
    assert first.attention.output.dense.weight.grad.abs().max() > 0
    assert encoder.bert.embeddings.word_embeddings.weight.grad.abs().max() > 0


def test_an_encoder_that_is_too_small():
    bag = GeneBag.fit([make_profiles((5,) * 40)], 20, 15)
    with pytest.raises(ValueError, match="too small"):
        start_as_bag(CellEncoder(20, 16, 1, 2, 24, 16, 16), bag)
    with pytest.raises(ValueError, match="another vocabulary"):
        start_as_bag(CellEncoder(21, 64, 1, 2, 24, 16, 64), bag)
