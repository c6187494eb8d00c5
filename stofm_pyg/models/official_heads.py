from pathlib import Path

from torch import Tensor

from stofm_pyg.models.official_checkpoint import read_official_checkpoint
from stofm_pyg.models.official_names import HEADS, check_names, head_names


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
