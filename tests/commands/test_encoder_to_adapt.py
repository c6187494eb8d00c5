import pytest
import torch

from stofm_pyg.commands.encoder_to_adapt import encoder_to_adapt
from stofm_pyg.data import GeneVocab
from stofm_pyg.models import CellEncoder
from stofm_pyg.train import PRESETS

VOCAB = GeneVocab({f"G{i}": 2 + i for i in range(500)}, {f"G{i}": 1.0 for i in range(500)})


@pytest.mark.parametrize("preset", list(PRESETS))
def test_from_scratch(preset):
    encoder = encoder_to_adapt("scratch", preset, VOCAB, seed=0)
    encoder.check_vocab(VOCAB)
    sizes = PRESETS[preset].cell_encoder
    assert encoder.out_channels == sizes.out_channels and encoder.gene_head is not None
    assert encoder.max_length == sizes.max_length
    assert len(encoder.bert.encoder.layer) == sizes.num_layers


def test_scratch_begins_with_spread_embeddings_and_maps_that_keep_angles():
    encoder = encoder_to_adapt("scratch", "small", VOCAB, seed=0)
    words = encoder.bert.embeddings.word_embeddings.weight
    assert 0.09 < words[1:].std() < 0.11  # BERT's is 0.02
    weight = encoder.proj.weight
    torch.testing.assert_close(weight @ weight.t(), torch.eye(128))


def test_from_a_folder(tmp_path):
    with_head = encoder_to_adapt("scratch", "tiny", VOCAB, seed=0)
    with_head.save_pretrained(tmp_path / "a")
    again = encoder_to_adapt(str(tmp_path / "a"), "paper", VOCAB, seed=0)
    assert torch.equal(again.gene_head.lin.weight, with_head.gene_head.lin.weight)
    CellEncoder(len(VOCAB), 16, 1, 2, 16, 32, 8).save_pretrained(tmp_path / "b")
    with pytest.raises(ValueError, match="has no head for masked genes; begin with a folder"):
        encoder_to_adapt(str(tmp_path / "b"), "tiny", VOCAB, seed=0)


def test_from_a_geneformer(tmp_path):
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=len(VOCAB) - 1,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    model = BertForMaskedLM(config)
    model.save_pretrained(tmp_path)
    encoder = encoder_to_adapt(str(tmp_path), "tiny", VOCAB, seed=0)
    table = encoder.bert.embeddings.word_embeddings.weight
    assert torch.equal(table[:-1], model.bert.embeddings.word_embeddings.weight)
    assert len(table) == len(VOCAB) and encoder.gene_head is not None


def test_a_folder_without_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither a directory with the 'config.json'"):
        encoder_to_adapt(str(tmp_path), "tiny", VOCAB, seed=0)
