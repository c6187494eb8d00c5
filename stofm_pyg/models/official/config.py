import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stofm_pyg.models.official._activation import make_activation

logger = logging.getLogger(__name__)

# Our argument, official key, official default.
SIZES = (
    ("in_channels", "input_dim", None),
    ("hidden_channels", "embedding_dim", 768),
    ("num_layers", "num_hidden_layers", 12),
    ("heads", "num_attention_heads", 32),
    ("ffn_channels", "ffn_embedding_dim", 768),
    ("num_gaussians", "gaussian_hidden_dim", 128),
)
RATES = (("dropout", "dropout", 0.1), ("attention_dropout", "attention_dropout", 0.1))


def read_official_config(path: str | Path) -> dict[str, Any]:
    r"""Reads an official :obj:`config.json` as the arguments of :class:`SToFM`.

    Args:
        path (str or Path): The file, or the directory that holds it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not JSON, or describes a model that the official code cannot build or
            ours cannot be.
    """
    path = Path(path)
    path = path / "config.json" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"There is no file '{path}'; pass the official 'config.json'")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"'{path}' is not a JSON file ({error}); pass the official 'config.json'"
        ) from error
    if not isinstance(config, dict):
        raise ValueError(
            f"'{path}' holds no settings by name (got {type(config).__name__}); pass the official "
            f"'config.json'"
        )
    return official_options(config)


def official_options(config: Mapping[str, Any]) -> dict[str, Any]:
    r"""Translates an official :obj:`SToFMConfig` to the arguments of :class:`SToFM`.

    Missing settings have the official defaults. Settings that the official model does not read are
    left out.

    Args:
        config (Mapping[str, Any]): The settings by official name.
    """
    if config.get("input_dim") is None:
        raise ValueError(
            "The config has no 'input_dim', the size of a cell's features; add it (256 with the "
            "official cell encoder)"
        )
    out: dict[str, Any] = {}
    for ours, theirs, default in SIZES:
        value = config.get(theirs, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"'{theirs}' must be a whole number of at least 1 (got {value!r})")
        out[ours] = value
    if out["hidden_channels"] % out["heads"] != 0:
        raise ValueError(
            f"'embedding_dim' must be a multiple of 'num_attention_heads' (got "
            f"{out['hidden_channels']} and {out['heads']})"
        )
    for ours, theirs, default in RATES:
        value = config.get(theirs, default)
        if not isinstance(value, int | float) or not 0 <= value < 1:
            raise ValueError(f"'{theirs}' must lie in [0, 1) (got {value!r})")
        out[ours] = float(value)
    out["act"] = config.get("activation_fn", "gelu")
    make_activation(out["act"])
    out["pre_norm"] = bool(config.get("pre_layernorm", False))
    out["far"] = 100.0
    _check_the_rest(config, out)
    return out


def _check_the_rest(config: Mapping[str, Any], out: dict[str, Any]):
    if not config.get("bias", True):
        raise ValueError(
            "'bias' is false: attention without additive biases cannot be loaded; the published "
            "models have them"
        )
    for key in ("kdim", "vdim"):
        if config.get(key) not in (None, out["hidden_channels"]):
            raise ValueError(
                f"'{key}' must be null or 'embedding_dim', {out['hidden_channels']}, as the official "
                f"code demands (got {config[key]!r})"
            )
    activation_dropout = config.get("activation_dropout", 0.1)
    if activation_dropout != out["dropout"]:
        logger.warning(
            "'activation_dropout' is %s; further training will use 'dropout', %s, there too",
            activation_dropout,
            out["dropout"],
        )
    if config.get("layerdrop"):
        logger.warning(
            "'layerdrop' is %s; further training will not leave out layers", config["layerdrop"]
        )
