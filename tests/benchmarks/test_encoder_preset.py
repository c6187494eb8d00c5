import torch
from scipy.stats import spearmanr

from benchmarks.encoder_preset import EncoderPreset
from benchmarks.presets import PRESETS
from stofm_pyg.data import CellTokens, GeneVocab

VOCAB = GeneVocab({f"G{i}": 2 + i for i in range(10)}, {f"G{i}": 1.0 for i in range(10)})


def test_makes_an_encoder_of_its_size_for_the_vocabulary():
    preset = EncoderPreset(hidden_channels=16, num_layers=2, heads=2, out_channels=8, max_length=20)
    encoder = preset.make(VOCAB)
    config = encoder.bert.config
    assert (encoder.vocab_size, encoder.out_channels, encoder.max_length) == (13, 8, 20)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (16, 2, 2)
    assert config.intermediate_size == 32
    encoder.check_vocab(VOCAB)
    assert encoder.gene_head is not None


def test_begins_with_spread_embeddings_from_torchs_generator():
    def words(seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return EncoderPreset().make(VOCAB).bert.embeddings.word_embeddings.weight

    assert 0.09 < words(0)[1:].std() < 0.11  # BERT's is 0.02
    many = {f"G{i}": 2 + i for i in range(2000)}
    large = EncoderPreset().make(GeneVocab(many, dict.fromkeys(many, 1.0)))
    assert 0.09 < large.bert.embeddings.word_embeddings.weight[1:].std() < 0.11
    assert torch.equal(words(0)[0], torch.zeros(256))
    assert torch.equal(words(0), words(0))
    assert not torch.equal(words(0), words(1))


def test_presets_grow():
    tiny, small, paper = (PRESETS[name].encoder for name in ("tiny", "small", "paper"))
    assert tiny.num_steps < small.num_steps < paper.num_steps
    # The shape of Geneformer V1.
    assert (paper.hidden_channels, paper.num_layers, paper.heads, paper.max_length) == (256, 6, 4, 2048)


def test_begins_with_maps_that_keep_angles():
    preset = EncoderPreset(hidden_channels=16, num_layers=2, heads=2, out_channels=16)
    encoder = preset.make(VOCAB)
    words = encoder.bert.embeddings.word_embeddings.weight[1:]
    scale = words[0] @ words[0]
    torch.testing.assert_close(words @ words.t(), scale * torch.eye(12))
    attention = encoder.bert.encoder.layer[1].attention
    for linear in (attention.self.value, attention.output.dense, encoder.proj):
        torch.testing.assert_close(linear.weight @ linear.weight.t(), torch.eye(16))


def test_cells_keep_what_genes_they_have_before_any_adaptation():
    """Cells that share more genes are more alike, by rank correlation over all pairs."""
    generator = torch.Generator().manual_seed(0)
    genes = {f"G{i:02d}": 2 + i for i in range(40)}
    vocab = GeneVocab(genes, dict.fromkeys(genes, 1.0))
    cells = [(2 + torch.randperm(40, generator=generator)[:12]).tolist() for _ in range(60)]
    ptr = 13 * torch.arange(61)
    tokens = CellTokens(torch.tensor([[vocab.cls_token_id, *cell] for cell in cells]).view(-1), ptr)
    torch.manual_seed(0)
    x = EncoderPreset(hidden_channels=64, heads=2, out_channels=64).make(vocab).eval().encode(tokens)
    x = x - x.mean(dim=0)
    shared = torch.tensor([[len({*a} & {*b}) for a in cells] for b in cells])
    pairs = torch.triu_indices(60, 60, 1).unbind()
    assert spearmanr((x @ x.t())[pairs], shared[pairs]).statistic > 0.8
