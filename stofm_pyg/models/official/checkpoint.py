from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from stofm_pyg._files import READ_ERRORS, check_archive
from stofm_pyg.models.official.names import UNUSED, check_names, encoder_names, head_names

PREFIX = "model."  # Of the model inside an official SToFMForMaskedLM.
# What readers raise on bytes that are not what they should be.
DAMAGE = (*READ_ERRORS, SafetensorError, AssertionError)


def read_official_checkpoint(path: str | Path) -> dict[str, Tensor]:
    r"""Reads the tensors of an official checkpoint by name: a file that :obj:`torch.save` wrote, of
    which only tensors are read, or a :obj:`.safetensors` file.

    The prefix :obj:`module.` of a model that was trained on several devices is taken off.

    Args:
        path (str or Path): The file, *e.g.*, :obj:`se2transformer.pth`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or holds something else than named tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file '{path}'; pass the official 'se2transformer.pth'")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            check_archive(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGE as error:
        first_line = str(error).partition("\n")[0]
        raise ValueError(
            f"'{path}' could not be read as weights ({first_line}); pass a file that "
            f"'torch.save(model.state_dict(), ...)' wrote, or a '.safetensors' file"
        ) from error
    is_state = isinstance(state, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    )
    if not is_state:
        raise ValueError(
            f"'{path}' does not hold tensors by name (got {_describe(state)}); pass what "
            f"'model.state_dict()' returned"
        )
    if state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return dict(state)


def official_model_state(state: dict[str, Tensor], num_layers: int, pre_norm: bool) -> dict[str, Tensor]:
    r"""The tensors of the model in an official checkpoint, by official name without prefix.

    Args:
        state (dict[str, torch.Tensor]): The tensors of an official :obj:`SToFMModel`, or of a
            :obj:`SToFMForMaskedLM` with both, one or none of its heads; each must be known.
        num_layers (int): The number of layers.
        pre_norm (bool): Whether the model normalises before each part.

    Raises:
        ValueError: If a tensor is missing or left over; the message names them.
    """
    prefix = PREFIX if any(name.startswith(PREFIX) for name in state) else ""
    names = [name for parts in encoder_names(num_layers).values() for name in parts]
    names += UNUSED if pre_norm else ()
    wanted = [prefix + name for name in names]
    wanted += [name for pairs in head_names(state).values() for name in pairs.values()]
    layer_norm = "before" if pre_norm else "after"
    what = f"an official SToFM model with {num_layers} layers that normalise {layer_norm} each part"
    check_names(state, wanted, what)
    return {name: state[prefix + name] for name in names}


def _describe(state: object) -> str:
    if not isinstance(state, dict):
        return type(state).__name__
    return f"a dictionary with {', '.join(repr(key) for key in list(state)[:3])}"
