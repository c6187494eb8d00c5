from torch import Tensor


def check_nodes(name: str, value: Tensor | None, num_nodes: int) -> Tensor | None:
    r"""Returns one value per node :math:`(N)`, or raises."""
    if value is not None and value.shape != (num_nodes,):
        raise ValueError(
            f"'{name}' must hold one value for each of the {num_nodes} nodes (got shape "
            f"{tuple(value.shape)})"
        )
    return value
