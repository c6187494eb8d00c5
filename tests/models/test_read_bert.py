import json
import logging
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertModel

from stofm_pyg.models.read_bert import read_bert


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
