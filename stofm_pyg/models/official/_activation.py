import torch
from torch_geometric.nn.resolver import activation_resolver


def make_activation(name: str) -> torch.nn.Module:
    r"""The non-linearity of a name: one of :mod:`torch.nn`, as elsewhere in PyG, else one that official
    configs may name, after :obj:`transformers.activations`, *e.g.*, :obj:`"gelu_new"`.

    Names that both know mean the same in both.

    Raises:
        TypeError: If the name is no string.
        ValueError: If nobody knows the name, or the non-linearity has weights of its own.
    """
    if not isinstance(name, str):
        raise TypeError(f"An activation is named by a string, such as 'gelu' (got {name!r})")
    try:
        act = activation_resolver(name)
    except (ValueError, TypeError):
        from transformers.activations import ACT2FN  # Slow to import, and seldom needed.

        if name not in ACT2FN:
            raise ValueError(
                f"Unknown activation '{name}'; known: those of 'torch.nn' and {', '.join(ACT2FN)}"
            ) from None
        act = ACT2FN[name]
    if isinstance(act, torch.nn.Module) and any(True for _ in act.parameters()):
        raise ValueError(
            f"The activation '{name}' has weights of its own, which the layers have no place for; "
            f"take one without, such as 'gelu'"
        )
    return act
