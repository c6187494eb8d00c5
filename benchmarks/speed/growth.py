import math
from collections.abc import Sequence


def growth_exponent(cells: Sequence[float], seconds: Sequence[float]) -> float:
    r"""Returns the exponent :math:`b` of :math:`t = a n^b`, by least squares of the logarithms: one
    means that time grows as the number of cells does.

    Args:
        cells (sequence of float): The numbers of cells :math:`n`, positive.
        seconds (sequence of float): The times :math:`t`, positive.
    """
    if len(set(cells)) < 2:
        raise ValueError(f"An exponent takes at least two different sizes (got {list(cells)})")
    x = [math.log(value) for value in cells]
    y = [math.log(value) for value in seconds]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return above / sum((a - mean_x) ** 2 for a in x)
