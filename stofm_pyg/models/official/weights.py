from pathlib import Path

import torch
from torch import Tensor

from stofm_pyg.models.official.checkpoint import read_official_checkpoint
from stofm_pyg.models.official.names import (
    DISTANCE,
    HEADS,
    UNUSED,
    check_names,
    encoder_names,
    head_names,
)


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


def from_official_heads(official: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    r"""Translates the tensors of the official heads (weights, or gradients of them) to the names of the
    pre-training objectives.

    Args:
        official (dict[str, torch.Tensor]): Tensors by official name, :obj:`lm_head.*` and
            :obj:`pair_head.*`; one of the heads may be absent as a whole.

    Returns:
        Under :obj:`"mcm"` the state of a :obj:`MaskedCellModelling(C, C, loss="cosine")` and under
        :obj:`"pdr"` that of a :obj:`PairwiseDistanceRecovery(heads)`, as far as they are there.

    Raises:
        ValueError: If a tensor is missing or left over; the message names them.
    """
    heads = head_names(official)
    wanted = [name for pairs in heads.values() for name in pairs.values()]
    check_names(official, wanted, "official heads")
    return {
        objective: {ours: official[theirs] for ours, theirs in pairs.items()}
        for objective, pairs in heads.items()
    }


def official_heads(weights: str | Path) -> dict[str, dict[str, Tensor]]:
    r"""Reads the heads of the official pre-training objectives from the checkpoint of a
    :obj:`SToFMForMaskedLM`, so that its pre-training can be continued.

    Args:
        weights (str or Path): The file.

    Returns:
        See :meth:`from_official_heads`; nothing for the checkpoint of a model without heads.

    Examples:
        >>> heads = official_heads("pretrained.pth")
        >>> mcm = MaskedCellModelling(256, 256, loss="cosine")
        >>> mcm.load_state_dict(heads["mcm"])
    """
    state = read_official_checkpoint(weights)
    prefixes = tuple(f"{head}." for head in HEADS.values())
    return from_official_heads(
        {name: value for name, value in state.items() if name.startswith(prefixes)}
    )
