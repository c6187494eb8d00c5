import re

import pytest
import torch

from stofm_pyg.data import GeneVocab
from stofm_pyg.models.fit_vocab import fit_vocab
from tests.cell_encoders import make_encoder


def vocab_of(size):
    """Padding, mask, genes, and CLS as the last token."""
    genes = {f"G{i}": i for i in range(2, size - 1)}
    vocab = GeneVocab(genes, dict.fromkeys(genes, 1.0))
    assert len(vocab) == size and vocab.cls_token_id == size - 1
    return vocab


def test_one_token_more_gets_a_random_embedding():
    vocab = vocab_of(21)
    encoders = [make_encoder(gene_head=True) for _ in range(3)]
    before = encoders[0].bert.embeddings.word_embeddings.weight.clone()
    rows = []
    for encoder, seed in zip(encoders, (0, 0, 1), strict=True):
        head = {"bias": torch.arange(20.0), "lin.weight": torch.ones(1)}
        fit_vocab(encoder.bert, head, vocab, seed)
        words = encoder.bert.embeddings.word_embeddings
        assert words.weight.shape == (21, 16) and words.weight.requires_grad
        assert words.num_embeddings == 21 and words.padding_idx == 0
        assert torch.equal(words.weight[:20], before)
        assert encoder.bert.config.vocab_size == encoder.vocab_size == 21
        assert encoder.vocab_fingerprint == vocab.fingerprint
        assert head["bias"].tolist() == [*range(20), 0] and head["lin.weight"].tolist() == [1]
        rows.append(words.weight[20])
    assert torch.equal(rows[0], rows[1]) and not torch.equal(rows[0], rows[2])
    assert 0 < rows[0].std() < 0.06


def test_as_many_tokens():
    encoder = make_encoder()
    before = encoder.bert.embeddings.word_embeddings
    fit_vocab(encoder.bert, None, vocab_of(20))
    assert encoder.bert.embeddings.word_embeddings is before
    assert encoder.vocab_fingerprint == vocab_of(20).fingerprint


@pytest.mark.parametrize("size", [19, 22])
def test_another_vocabulary(size):
    message = f"knows 20 tokens, and the vocabulary {vocab_of(size)} does not fit"
    with pytest.raises(ValueError, match=re.escape(message)):
        fit_vocab(make_encoder().bert, None, vocab_of(size))
