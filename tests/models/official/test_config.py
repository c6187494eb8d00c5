import json
import logging

import pytest

from stofm_pyg.models import SToFM
from stofm_pyg.models.official.config import official_options, read_official_config

PUBLISHED = {
    "activation_dropout": 0.2,
    "activation_fn": "relu",
    "architectures": ["SToFMModel"],
    "attention_dropout": 0.05,
    "dropout": 0.2,
    "embedding_dim": 64,
    "ffn_embedding_dim": 96,
    "gaussian_hidden_dim": 32,
    "hidden_size": 64,
    "input_dim": 24,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "pre_layernorm": True,
    "transformers_version": "4.39.1",
}


def test_every_setting_has_its_argument(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED))
    expected = {
        "in_channels": 24,
        "hidden_channels": 64,
        "num_layers": 3,
        "heads": 4,
        "ffn_channels": 96,
        "num_gaussians": 32,
        "dropout": 0.2,
        "attention_dropout": 0.05,
        "act": "relu",
        "pre_norm": True,
        "far": 100.0,
    }
    assert read_official_config(tmp_path) == expected
    assert read_official_config(str(tmp_path / "config.json")) == expected
    assert SToFM(**expected).encoder.blocks[2].lin1.weight.shape == (96, 64)


def test_official_defaults():
    assert official_options({"input_dim": 256}) == {
        "in_channels": 256,
        "hidden_channels": 768,
        "num_layers": 12,
        "heads": 32,
        "ffn_channels": 768,
        "num_gaussians": 128,
        "dropout": 0.1,
        "attention_dropout": 0.1,
        "act": "gelu",
        "pre_norm": False,
        "far": 100.0,
    }


@pytest.mark.parametrize(
    "change, message",
    [
        ({"input_dim": None}, "no 'input_dim'.*add it"),
        ({"num_hidden_layers": 0}, r"'num_hidden_layers' must be .* at least 1 \(got 0\)"),
        ({"embedding_dim": "64"}, r"'embedding_dim' must be a whole number .*\(got '64'\)"),
        ({"num_attention_heads": 5}, r"multiple of 'num_attention_heads' \(got 64 and 5\)"),
        ({"dropout": 1.5}, r"'dropout' must lie in \[0, 1\) \(got 1.5\)"),
        ({"activation_fn": "gelo"}, "Unknown activation 'gelo'"),
        ({"bias": False}, "'bias' is false"),
        ({"kdim": 32}, r"'kdim' must be null or 'embedding_dim', 64, .*\(got 32\)"),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(ValueError, match=message):
        official_options(PUBLISHED | change)


def test_what_further_training_would_do_differently(caplog):
    with caplog.at_level(logging.WARNING):
        official_options(PUBLISHED)
        assert caplog.text == ""
        official_options(PUBLISHED | {"activation_dropout": 0.0, "layerdrop": 0.3})
    assert "'activation_dropout' is 0.0" in caplog.text and "'layerdrop' is 0.3" in caplog.text


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file .*config.json"):
        read_official_config(tmp_path)
    path = tmp_path / "config.json"
    for text, message in (("{", "is not a JSON file"), ("[1]", r"no settings by name \(got list\)")):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_official_config(path)
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match="is not a JSON file"):
        read_official_config(path)
