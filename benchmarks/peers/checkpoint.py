r"""Published weights: read as tensors by name, and put into a model of the same names."""

import fnmatch
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from stofm_pyg.models.official.checkpoint import DAMAGE

# A name that the weights of no other system have, as it is published.
SIGNS = {
    "Geneformer": "bert.embeddings.word_embeddings.weight",
    "scGPT": "value_encoder.linear1.weight",
    "CellPLM": "embedder.feat_enc.emb",
    "Nicheformer": "positional_embedding.weight",
    "SToFM": "gaussian.means.weight",
}


def find_file(folder: str | Path, patterns: Sequence[str], what: str) -> Path:
    r"""Returns the only file of a folder that matches one of some patterns.

    Args:
        folder (str or Path): The folder.
        patterns (sequence of str): Names with wildcards; the first that matches counts.
        what (str): What the file holds, for errors.

    Raises:
        FileNotFoundError: If there is no such folder or file.
        ValueError: If several files match.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder '{folder}'; pass one with {what}")
    for pattern in patterns:
        found = sorted(folder.glob(pattern))
        if len(found) > 1:
            names = ", ".join(f"'{path.name}'" for path in found)
            raise ValueError(f"'{folder}' has several files with {what} ({names}); keep one of them")
        if found:
            return found[0]
    raise FileNotFoundError(f"'{folder}' has no {what} (looked for {', '.join(patterns)})")


def read_state(
    path: str | Path, under: str | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    r"""Reads the tensors of a checkpoint by name. Nothing but tensors and plain values is unpickled.

    Args:
        path (str or Path): A file that :obj:`torch.save` wrote, or a :obj:`.safetensors` file.
        under (str, optional): The key below which the tensors are. (default: :obj:`None`)

    Returns:
        The tensors, and what stands beside them in the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, holds objects that are not unpickled, or no tensors by name.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file '{path}'; pass the published weights")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGE as error:
        raise ValueError(
            f"'{path}' could not be read as weights ({str(error).partition(chr(10))[0]}); pass the "
            f"published file, or only its tensors, saved by 'torch.save'"
        ) from error
    beside = {}
    if under is not None and isinstance(state, dict) and isinstance(state.get(under), dict):
        beside, state = state, state[under]
    if not isinstance(state, dict) or not any(isinstance(value, Tensor) for value in state.values()):
        place = f" under '{under}'" if under is not None else ""
        raise ValueError(f"'{path}' holds no tensors by name{place}; pass the published weights")
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    return tensors, {key: value for key, value in beside.items() if key != under}


def check_system(state: Iterable[str], system: str, path: str | Path):
    r"""Raises if weights are those of another system.

    Args:
        state (iterable of str): Their names.
        system (str): The system that is wanted, one of :obj:`SIGNS`.
        path (str or Path): Where they were read.
    """
    names = set(state)
    if SIGNS[system] in names:
        return
    others = [other for other, sign in SIGNS.items() if sign in names]
    found = f"those of {others[0]}" if others else f"of an unknown kind, such as {sorted(names)[:3]}"
    raise ValueError(
        f"'{path}' holds no weights of {system} ('{SIGNS[system]}' is missing) but {found}; pass a "
        f"checkpoint of {system}"
    )


def load_state(
    model: torch.nn.Module, state: dict[str, Tensor], path: str | Path, unused: Sequence[str] = ()
):
    r"""Puts tensors into a model of the same names and sizes.

    Args:
        model (torch.nn.Module): The model.
        state (dict[str, torch.Tensor]): The tensors.
        path (str or Path): Where they were read.
        unused (sequence of str, optional): Patterns of names that the published file has and the
            model, which does not read them, has no place for. (default: :obj:`()`)

    Raises:
        ValueError: If a tensor is missing, left over or of another shape; the message names them.
    """
    wanted = model.state_dict()
    given = {
        name: value
        for name, value in state.items()
        if name in wanted or not any(fnmatch.fnmatchcase(name, pattern) for pattern in unused)
    }
    missing, more = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    if missing or more:
        raise ValueError(
            f"'{path}' does not fit {type(model).__name__}: missing {missing}, left over {more}"
        )
    wrong = [
        f"{name} {list(given[name].shape)} instead of {list(value.shape)}"
        for name, value in wanted.items()
        if given[name].shape != value.shape
    ]
    if wrong:
        raise ValueError(f"'{path}' has weights of other sizes: {', '.join(wrong)}")
    model.load_state_dict(given)


def num_layers(state: Iterable[str], prefix: str) -> int:
    r"""The number of layers whose names begin with a prefix and a number."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    return len({match[1] for match in map(pattern.match, state) if match})


def size_of(state: dict[str, Tensor], name: str, dim: int, path: str | Path) -> int:
    r"""The size of a tensor along a dimension, by which a model is made.

    Raises:
        ValueError: If there is no such tensor or dimension.
    """
    if name not in state or state[name].dim() <= dim:
        raise ValueError(f"'{path}' has no weight '{name}' of such a shape: missing {[name]}")
    return state[name].size(dim)
