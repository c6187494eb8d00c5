r"""An encoder as files: the official layout, and our parts beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from stofm_pyg._files import (
    READ_ERRORS,
    check_archive,
    checked,
    file_hash,
    save_torch,
    sealed,
    write_atomically,
)
from stofm_pyg.models.cell_encoder.geneformer import read_bert

if TYPE_CHECKING:
    from transformers import BertModel

BERT, PROJ = "cell_bert", "cell_proj.bin"
HEAD, SCALE = "gene_head.safetensors", "feature_scale.safetensors"
# What there is of an encoder, by its hash.
SEAL = "encoder.json"


def read_official(directory: str | os.PathLike) -> tuple[BertModel, dict[str, Tensor]]:
    r"""Reads the BERT of a directory in the official layout, and the weights of its pooling layer.

    Raises:
        FileNotFoundError: One of them is missing.
        ValueError: Weights are missing, left over, or damaged.
    """
    directory = Path(directory).expanduser()
    for name in (BERT, PROJ):
        if not (directory / name).exists():
            raise FileNotFoundError(
                f"'{directory}' has no '{name}'; pass a directory with '{BERT}' and '{PROJ}', as "
                f"'save_pretrained' writes it, or read a BERT alone by 'from_geneformer'"
            )
    check_seal(directory)
    bert, _ = read_bert(directory / BERT)
    return bert, read_proj(directory / PROJ, bert.config.hidden_size)


def save_official(bert: BertModel, proj: torch.nn.Linear, directory: str | os.PathLike):
    r"""Writes a BERT and a pooling layer in the official layout, each file as a whole."""
    directory = Path(directory).expanduser()
    save_bert(bert, directory / BERT)
    save_proj(proj, directory / PROJ)


def save_seal(directory: Path):
    r"""Writes the hashes of all files of an encoder beside them; see :meth:`check_seal`."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    hashes = {path.relative_to(directory).as_posix(): file_hash(path) for path in files}
    text = json.dumps(sealed({"files": hashes}), indent=1) + "\n"
    write_atomically(directory / SEAL, lambda part: part.write_text(text, encoding="utf-8"))


def check_seal(directory: Path):
    r"""Checks that the files of an encoder are those that :meth:`save_seal` saw; those of an official
    one, or from before there were hashes, pass.

    Raises:
        FileNotFoundError: One is missing.
        ValueError: One is damaged, or of another encoder.
    """
    path = directory / SEAL
    if not path.is_file():
        return
    try:
        files = checked(json.loads(path.read_text(encoding="utf-8")))["files"]
        there = {name: directory / name for name in (HEAD, SCALE) if (directory / name).is_file()}
        there |= {name: directory / name for name in files}
        wanted = {name: files.get(name) for name in there}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"'{path}' is damaged ({error}); copy or save the encoder again") from error
    for name, file in there.items():
        if not file.is_file():
            raise FileNotFoundError(
                f"'{directory}' has no '{name}'; copy the encoder again, as a whole"
            )
        if file_hash(file) != wanted[name]:
            raise ValueError(
                f"'{file}' is damaged, or not the file that belongs to '{path}'; copy or save the "
                f"encoder again"
            )


def read_part(directory: str | os.PathLike, name: str) -> dict[str, Tensor] | None:
    r"""Reads the weights of a part that :meth:`save_part` wrote; :obj:`None` where there are none.

    Raises:
        ValueError: If the file is damaged.
    """
    path = Path(directory).expanduser() / name
    if not path.is_file():
        return None
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"'{path}' is damaged: {error}. Save the encoder again.") from error


def save_part(module: torch.nn.Module | None, directory: str | os.PathLike, name: str):
    r"""Writes the weights of a part as a whole, or removes those that are there if it is
    :obj:`None`."""
    path = Path(directory).expanduser() / name
    if module is not None:
        save_state(module, path)
    else:
        path.unlink(missing_ok=True)


def read_proj(path: Path, channels: int) -> dict[str, Tensor]:
    r"""Reads the weights of the pooling layer from an official :obj:`cell_proj.bin`.

    Args:
        path (Path): The file.
        channels (int): The size of the states that it takes.

    Raises:
        ValueError: It is damaged, asks for more than tensors, or holds something else.
    """
    try:
        check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except READ_ERRORS as error:
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
    write_atomically(path, lambda part: save_torch(state, part))


def save_state(module: torch.nn.Module, path: Path):
    r"""Writes the weights of a module to a safetensors file that transformers can read, as a whole."""
    state = _state(module)
    write_atomically(path, lambda temporary: save_file(state, temporary, {"format": "pt"}))


def _state(module: torch.nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
