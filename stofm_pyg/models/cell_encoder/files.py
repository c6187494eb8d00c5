from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from stofm_pyg._files import write_atomically

if TYPE_CHECKING:
    from transformers import BertModel


def read_proj(path: Path, channels: int) -> dict[str, Tensor]:
    r"""Reads the weights of the pooling layer from an official :obj:`cell_proj.bin`.

    Args:
        path (Path): The file.
        channels (int): The size of the states that it takes.

    Raises:
        ValueError: It is damaged, asks for more than tensors, or holds something else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"'{path}' is damaged or holds more than tensors, and is not read: {error}"
        ) from error
    if not isinstance(state, dict):
        raise ValueError(f"'{path}' holds a {type(state).__name__}, not the weights of a layer")
    shapes = {name: list(getattr(x, "shape", ())) for name, x in state.items()}
    size = next(iter(shapes.get("weight", [])), 0)
    if shapes != {"weight": [size, channels], "bias": [size]} or size == 0:
        raise ValueError(
            f"'{path}' holds {shapes}; the pooling layer of this encoder has a 'weight' of shape "
            f"[any, {channels}] and a 'bias'"
        )
    return dict(state)


def read_part(path: Path) -> dict[str, Tensor]:
    r"""Reads the weights of a part of an encoder that :meth:`save_state` wrote.

    Raises:
        ValueError: If the file is damaged.
    """
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"'{path}' is damaged: {error}. Save the encoder again.") from error


def save_bert(bert: BertModel, directory: Path):
    r"""Writes a BERT as transformers does, each file as a whole."""
    directory.mkdir(parents=True, exist_ok=True)
    save_state(bert, directory / "model.safetensors")
    bert.config.architectures = ["BertModel"]
    config = bert.config.to_json_string()
    write_atomically(directory / "config.json", lambda path: path.write_text(config))


def save_proj(proj: torch.nn.Linear, path: Path):
    r"""Writes the weights of the pooling layer as the official code does, as a whole."""
    state = _state(proj)

    def write(temporary: Path):
        with open(temporary, "wb") as file:  # A full disk is an OSError then.
            torch.save(state, file)

    write_atomically(path, write)


def save_state(module: torch.nn.Module, path: Path):
    r"""Writes the weights of a module to a safetensors file that transformers can read, as a whole."""
    state = _state(module)
    write_atomically(path, lambda temporary: save_file(state, temporary, {"format": "pt"}))


def _state(module: torch.nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
