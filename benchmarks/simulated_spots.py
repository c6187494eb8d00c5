r"""Spots made of the cells of a single-cell reference, laid out as the spots of a real slice."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.special import softmax
from torch import Tensor

from stofm_pyg.transforms.neighbors import nearest_neighbors

NUM_NEIGHBORS, NUM_SMOOTHINGS = 12, 2
# How far the logit of a cell type varies over a slice, as a standard deviation.
VARIATION = 2.0


def simulate_spots(
    pos: Tensor,
    totals: np.ndarray,
    counts: sparse.csr_matrix,
    codes: np.ndarray,
    num_types: int,
    cells_per_spot: int = 20,
    seed: int | Sequence[int] = 0,
) -> tuple[sparse.csr_matrix, np.ndarray]:
    r"""Makes a slice of known mixtures at the positions of a real one, so that what needs a place has
    one and neighbouring spots are alike, as they are in tissue.

    The logit of each type is that of the root of its share of the reference (so that rare types occur)
    and a random field over the slice: noise, averaged twice over the 12 nearest spots. Each spot draws
    the types of its cells from that, cells of these types with replacement, and their summed counts are
    thinned to the total of a random spot of the real slice where they have more.

    Args:
        pos (torch.Tensor): Positions of the spots :math:`(S, 2)`.
        totals (np.ndarray): The total counts of the real spots :math:`(S)`.
        counts (csr_matrix): Counts of the reference cells :math:`(N, G)`.
        codes (np.ndarray): The type of each :math:`(N)`, none of them -1.
        num_types (int): The number of types :math:`T`.
        cells_per_spot (int, optional): How many cells make a spot. (default: :obj:`20`)
        seed (int or sequence of int, optional): The seed of all that is drawn. (default: :obj:`0`)

    Returns:
        The counts of the spots :math:`(S, G)`, and the share of each type among their cells
        :math:`(S, T)`.
    """
    rng = np.random.default_rng(seed)
    number = np.bincount(codes, minlength=num_types)
    field = _smooth_field(pos, num_types, rng)
    with np.errstate(divide="ignore"):
        share = softmax(0.5 * np.log(number) + VARIATION * field, axis=1)
    drawn = rng.multinomial(cells_per_spot, share)
    cells = [np.flatnonzero(codes == code) for code in range(num_types)]
    spot, kind = np.nonzero(drawn)
    picked = [rng.choice(cells[k], drawn[s, k]) for s, k in zip(spot, kind, strict=True)]
    row = np.repeat(spot, drawn[spot, kind])
    column = np.concatenate(picked)
    member = sparse.csr_matrix((np.ones(row.size), (row, column)), (len(drawn), counts.shape[0]))
    summed = (member @ counts.astype(np.float64)).tocsr()
    wanted = rng.permutation(totals)
    kept = np.minimum(1.0, wanted / np.maximum(np.asarray(summed.sum(axis=1)).reshape(-1), 1.0))
    summed.data = rng.binomial(summed.data.astype(np.int64), np.repeat(kept, np.diff(summed.indptr)))
    summed = summed.astype(np.float32)
    summed.eliminate_zeros()
    return summed, drawn / cells_per_spot


def divide_reference(codes: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Divides reference cells at random into rows to train on and rows to test on, so that each type
    has cells on both sides.

    Args:
        codes (np.ndarray): The type of each cell :math:`(N)`, each of two cells or more; -1 is left out.
        share (float): The share of a type's cells to train on.
        seed (int): The seed.
    """
    rng = np.random.default_rng(seed)
    train, test = [], []
    for code in range(codes.max() + 1):
        rows = rng.permutation(np.flatnonzero(codes == code))
        cut = min(max(1, round(share * rows.size)), rows.size - 1)
        train.append(rows[:cut])
        test.append(rows[cut:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))


def _smooth_field(pos: Tensor, num_types: int, rng: np.random.Generator) -> np.ndarray:
    field = rng.normal(size=(len(pos), num_types))
    near = nearest_neighbors(pos, NUM_NEIGHBORS).numpy()
    for _ in range(NUM_SMOOTHINGS):
        field = (field + field[near].sum(axis=1)) / (1 + near.shape[1])
    field -= field.mean(axis=0)
    return field / np.maximum(field.std(axis=0), 1e-12)
