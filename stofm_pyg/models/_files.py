from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from stofm_pyg._files import checked, file_hash, saving, sealed, write_atomically
from stofm_pyg.data import SliceSettings
from stofm_pyg.models.domains import Domains
from stofm_pyg.models.features import load_features
from stofm_pyg.models.label_head import LabelHead
from stofm_pyg.models.read_out import ReadOut

CONFIG, WEIGHTS, FEATURES, DOMAINS = "config.json", "model.safetensors", "features", "domains"
CARD = "README.md"
FORMAT = 3
# No configuration asks for more than there is by sizes up to this.
USUAL_SIZE = 4096


def save_model(model: Any, directory: Path, card: str | None = None):
    r"""Writes a :class:`SToFM` to a directory, see :meth:`SToFM.save_pretrained`.

    All is written to a folder beside the old one first; what was there is replaced last, the
    configuration, which holds a hash of the weights, after everything else.
    """
    _check_savable(model)
    with saving(directory) as part:
        state = {
            key: value.detach().cpu().contiguous()
            for key, value in model.state_dict().items()
            if not key.startswith("features.")
        }
        write_atomically(part / WEIGHTS, lambda path: save_file(state, path))
        if model.features is not None:
            model.features.save(part / FEATURES)
        if model.found_domains is not None:
            model.found_domains.save(part / DOMAINS)
        found = part / DOMAINS / "domains.safetensors"
        config = {
            "format": FORMAT,
            "model": model.config,
            "settings": model.settings.to_dict(),
            "read_out": model.read_out.to_dict(),
            "heads": {label: head.classes for label, head in model.heads.items()},
            "fitted_to": model.fitted_to,
            "weights": file_hash(part / WEIGHTS),
            "features": None if model.features is None else model.features.fingerprint(),
            "domains": file_hash(found) if found.is_file() else None,
            "parts": [name for name in (FEATURES, DOMAINS) if (part / name).is_dir()],
        }
        text = json.dumps(sealed(config), indent=2) + "\n"
        write_atomically(part / CONFIG, lambda path: path.write_text(text, encoding="utf-8"))
        if card is not None:
            write_atomically(part / CARD, lambda path: path.write_text(card, encoding="utf-8"))
        for name in (FEATURES, DOMAINS):
            if (directory / name).is_dir():
                os.replace(directory / name, part / f"old-{name}")
            if (part / name).is_dir():
                os.replace(part / name, directory / name)
        for name in (CARD, WEIGHTS, CONFIG):
            if (part / name).is_file():
                os.replace(part / name, directory / name)


def _check_savable(model: Any):
    for name, value in model.config.items():
        if not isinstance(value, (str, int, float, bool, list, tuple, dict, type(None))):
            raise TypeError(
                f"The model was made with {name}={value!r}, which cannot be saved; pass it by name, or "
                f"as a number"
            )
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ValueError("The model is on the meta device and has no weights to save")


def read_model(kind: type, directory: Path) -> Any:
    r"""Reads a :class:`SToFM` from a directory, see :meth:`SToFM.from_pretrained`."""
    for name in (CONFIG, WEIGHTS):
        if not (directory / name).is_file():
            raise FileNotFoundError(
                f"'{directory}' has no '{name}'; pass a directory that 'save_pretrained' wrote"
            )
    path = directory / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        number = config.get("format")
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"'{path}' is damaged ({error}); copy or save the model again") from error
    if number != FORMAT:
        raise ValueError(
            f"'{path}' is of format {number!r}, this release of stofm_pyg reads format {FORMAT}; "
            f"update stofm_pyg, or save the model again by the release that made it"
        )
    try:
        config = checked(config)
    except ValueError as error:
        raise ValueError(f"'{path}' is damaged ({error}); copy or save the model again") from error
    if config.get("weights") != file_hash(directory / WEIGHTS):
        raise ValueError(
            f"'{directory / WEIGHTS}' is damaged, or not the file that belongs to '{path}'; copy or "
            f"save the model again"
        )
    parts = config.get("parts", ())
    if not isinstance(parts, list):
        raise ValueError(f"'{path}' is damaged (its parts are {parts!r}); save the model again")
    for name in parts:
        if not (directory / name).is_dir():
            raise FileNotFoundError(
                f"'{directory}' has no folder '{name}'; copy the model again, as a whole"
            )
    try:
        weights = load_file(directory / WEIGHTS)
        _check_sizes(config["model"], weights)
        _check_finite(weights)
        model = kind(**config["model"])
        model.settings = SliceSettings.from_dict(config["settings"])
        model.read_out = ReadOut.from_dict(config["read_out"])
        model.fitted_to = config.get("fitted_to")
        for label, classes in config["heads"].items():
            size = weights[f"heads.{label}.mean"].numel()
            model.heads[label] = LabelHead(size, classes)
        model.load_state_dict(weights)
    except (SafetensorError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"'{directory}' is damaged ({reason}); save the model again") from error
    if FEATURES in parts:
        model.features = load_features(directory / FEATURES)
        if model.features.num_features != model.config["in_channels"]:
            raise ValueError(
                f"The features in '{directory}' are {model.features.num_features} a cell, the model "
                f"takes {model.config['in_channels']}; they are of another model"
            )
        if model.features.fingerprint() != config.get("features"):
            raise ValueError(
                f"The features in '{directory / FEATURES}' are not those that belong to '{path}'; copy "
                f"or save the model again, as a whole"
            )
    if DOMAINS in parts:
        found = directory / DOMAINS / "domains.safetensors"
        if found.is_file() and config.get("domains") not in (None, file_hash(found)):
            raise ValueError(
                f"'{found}' is damaged, or not the file that belongs to '{path}'; copy or save the "
                f"model again"
            )
        model.found_domains = Domains.load(directory / DOMAINS)
    return model.eval()


def _check_finite(weights: dict[str, Tensor]):
    for name, weight in weights.items():
        if weight.is_floating_point() and not bool(weight.isfinite().all()):
            raise RuntimeError(f"the weights '{name}' are not finite")


def _check_sizes(config: dict[str, Any], weights: dict[str, Tensor]):
    # Before a model is made: a configuration may ask for more memory than there is.
    largest = max([USUAL_SIZE, *(size for weight in weights.values() for size in weight.shape)])
    for name, value in config.items():
        most = len(weights) if name == "num_layers" else largest
        if isinstance(value, int) and value > most:
            raise RuntimeError(f"'{name}' is {value:,}, more than its weights have")
