import json
import logging
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertModel

from stofm_pyg.data import GeneVocab
from stofm_pyg.models.cell_encoder.gene_head import GeneHead
from stofm_pyg.models.cell_encoder.geneformer import HEAD, fit_vocab, read_bert
from tests.cell_encoders import make_encoder


def make(kind=BertForMaskedLM, **kwargs):
    torch.manual_seed(0)
    options = {"vocab_size": 12, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    return kind(BertConfig(**options, intermediate_size=8, max_position_embeddings=6, **kwargs))


def change(directory, **tensors):
    path = directory / "model.safetensors"
    state = {**load_file(path), **tensors}
    save_file({key: x for key, x in state.items() if x is not None}, path, {"format": "pt"})


@pytest.mark.parametrize("with_head", [False, True])
def test_a_checkpoint_for_masked_words(tmp_path, caplog, with_head):
    model = make()
    model.save_pretrained(tmp_path)
    with caplog.at_level(logging.INFO, "stofm_pyg"):
        bert, head = read_bert(tmp_path, with_head)
    expected = model.bert.state_dict()
    assert bert.state_dict().keys() == expected.keys() and bert.pooler is None
    assert all(torch.equal(bert.state_dict()[key], x) for key, x in expected.items())
    if with_head:
        transform = model.cls.predictions.transform
        assert torch.equal(head["lin.weight"], transform.dense.weight)
        assert torch.equal(head["lin.bias"], transform.dense.bias)
        assert torch.equal(head["norm.weight"], transform.LayerNorm.weight)
        assert torch.equal(head["norm.bias"], transform.LayerNorm.bias)
        assert torch.equal(head["bias"], model.cls.predictions.bias) and len(head) == 5
    else:
        assert head is None
        assert "left out" in caplog.text and "cls.predictions.bias" in caplog.text


def test_the_pooling_layer_of_a_bert_is_left_out_and_logged(tmp_path, caplog):
    make(BertModel).save_pretrained(tmp_path)
    with caplog.at_level(logging.INFO, "stofm_pyg"):
        bert, _ = read_bert(str(tmp_path))
    assert bert.pooler is None and "pooler.dense.weight" in caplog.text
    with pytest.raises(ValueError, match="no head for masked genes"):
        read_bert(tmp_path, with_head=True)


def test_weights_that_are_missing_or_of_nothing(tmp_path):
    make(BertModel).save_pretrained(tmp_path)
    name = "encoder.layer.0.attention.self.query.bias"
    change(tmp_path, **{name: None})
    with pytest.raises(ValueError, match=f"lacks weights of a BERT: .*{re.escape(name)}"):
        read_bert(tmp_path)
    change(tmp_path, **{name: torch.zeros(8), "encoder.layer.1.output.dense.bias": torch.zeros(8)})
    with pytest.raises(ValueError, match="no place for: .*layer.1.output.dense.bias"):
        read_bert(tmp_path)


def test_weights_of_another_shape(tmp_path):
    make(BertModel).save_pretrained(tmp_path)
    change(tmp_path, **{"embeddings.word_embeddings.weight": torch.zeros(9, 8)})
    with pytest.raises(ValueError, match="damaged, or not of its config"):
        read_bert(tmp_path)


def test_truncated_weights(tmp_path):
    make(BertModel).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match="damaged"):
        read_bert(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"), [({"model_type": "gpt2"}, "'gpt2'"), ({"is_decoder": True}, "decoder")]
)
def test_other_models(tmp_path, change, message):
    make(BertModel).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match=message):
        read_bert(tmp_path)


def test_no_such_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="neither a directory"):
        read_bert(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="neither a directory"):
        read_bert(tmp_path)


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


def test_a_gene_head_is_the_head_of_a_bert_for_masked_words():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        hidden_act="gelu", layer_norm_eps=1e-5,
    )  # fmt: skip
    theirs = BertForMaskedLM(config).cls.predictions
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.copy_(torch.randn_like(weight))
    ours = GeneHead(8, 11, act="gelu", eps=1e-5)
    ours.load_state_dict({name: theirs.state_dict()[key] for name, key in HEAD.items()})
    x = torch.randn(4, 8)
    assert torch.allclose(ours(x, theirs.decoder.weight), theirs(x), atol=1e-5)
    assert str(ours) == "GeneHead(8, 11)"
    ours.reset_parameters()
    assert ours.bias.abs().sum() == 0 and ours.lin.weight.std() < 0.05
