import torch
from torch import Tensor

from stofm_pyg.models.official_names import DISTANCE, UNUSED, check_names, encoder_names


def from_official_state(official: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    r"""Translates the tensors of an official :obj:`SToFMModel` (weights, or gradients of them) to the
    names of :class:`~stofm_pyg.nn.SliceEncoder`.

    Every tensor must be used; :obj:`encoder.final_layer_norm`, which the official code makes with
    :obj:`pre_layernorm` but never calls, is dropped.

    Args:
        official (dict[str, torch.Tensor]): Tensors by official name, without a :obj:`model.` prefix.
        num_layers (int): The number of layers.

    Raises:
        ValueError: If a tensor is missing or left over; the message names them.
    """
    official = {name: value for name, value in official.items() if name not in UNUSED}
    names = encoder_names(num_layers)
    wanted = [name for parts in names.values() for name in parts]
    check_names(official, wanted, f"an official SToFM model with {num_layers} layers")
    out = {ours: torch.cat([official[name] for name in parts]) for ours, parts in names.items()}
    for ours in DISTANCE:
        if not ours.startswith("mlp"):
            key = f"blocks.0.conv.distance.{ours}"
            out[key] = out[key].flatten()
    return out


def to_official_state(state: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    r"""Translates the tensors of a :class:`~stofm_pyg.nn.SliceEncoder` (weights, or gradients of them)
    to the names and shapes of an official :obj:`SToFMModel`: the inverse of
    :meth:`from_official_state`.

    Args:
        state (dict[str, torch.Tensor]): Tensors by our name.
        num_layers (int): The number of layers.

    Raises:
        ValueError: If a tensor is missing or left over; the message names them.
    """
    names = encoder_names(num_layers)
    check_names(state, names, f"a 'SliceEncoder' with {num_layers} layers")
    out = {}
    for ours, parts in names.items():
        out.update(zip(parts, state[ours].chunk(len(parts)), strict=True))
    for theirs in ("linear.weight", "means.weight", "stds.weight"):
        out[f"gaussian.{theirs}"] = out[f"gaussian.{theirs}"].unsqueeze(0)
    return out
