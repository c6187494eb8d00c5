from pathlib import Path

import torch
from torch import Tensor

from stofm_pyg.models.official.checkpoint import official_model_state, read_official_checkpoint
from stofm_pyg.models.official.weights import from_official_state, to_official_state

# What the official code puts in the place of each feature of a masked cell.
MASK = -100.0


def load_official(model: torch.nn.Module, weights: str | Path):
    r"""Puts official weights into a :class:`SToFM` of the same sizes, and the official mask vector.

    Args:
        model (torch.nn.Module): The model.
        weights (str or Path): The official checkpoint.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a weight is missing, left over or of another shape; the message names them.
    """
    num_layers, pre_norm = model.encoder.num_layers, model.encoder.blocks[0].pre_norm
    state = read_official_checkpoint(weights)
    try:
        load_encoder(model.encoder, official_model_state(state, num_layers, pre_norm))
    except ValueError as error:
        raise ValueError(f"{error} (in '{weights}'); is this the config that belongs to it?") from error
    with torch.no_grad():
        model.mask_token.fill_(MASK)


def load_encoder(encoder: torch.nn.Module, official: dict[str, Tensor]):
    r"""Puts the tensors of an official :obj:`SToFMModel` into a
    :class:`~stofm_pyg.nn.SliceEncoder` of the same sizes.

    Args:
        encoder (torch.nn.Module): The encoder.
        official (dict[str, torch.Tensor]): The tensors by official name, without a :obj:`model.` prefix.

    Raises:
        ValueError: If a tensor is missing, left over or of another shape; the message names them.
    """
    expected = to_official_state(encoder.state_dict(), encoder.num_layers)
    wrong = [
        f"{name} {list(official[name].shape)} instead of {list(value.shape)}"
        for name, value in expected.items()
        if name in official and official[name].shape != value.shape
    ]
    if wrong:
        raise ValueError(f"The weights have other sizes than the config says: {', '.join(wrong)}")
    encoder.load_state_dict(from_official_state(official, encoder.num_layers))
