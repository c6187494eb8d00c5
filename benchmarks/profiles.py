r"""What a deconvolution does without labelled spots: profiles of cell types, and guesses by them."""

import numpy as np
from scipy import sparse
from scipy.optimize import nnls

from stofm_pyg.data.slices.components import log_normalize


def reference_profiles(counts: sparse.csr_matrix, codes: np.ndarray, num_types: int) -> np.ndarray:
    r"""The mean counts of the cells of each type :math:`(T, G)`; those of a type without a cell are
    zero.

    Args:
        counts (csr_matrix): Counts of single cells :math:`(N, G)`.
        codes (np.ndarray): The type of each cell :math:`(N)`, -1 where unknown.
        num_types (int): The number of types.
    """
    known = np.flatnonzero(codes >= 0)
    ones = np.ones(known.size)
    member = sparse.csr_matrix((ones, (codes[known], known)), shape=(num_types, counts.shape[0]))
    number = np.maximum(np.bincount(codes[known], minlength=num_types), 1)
    return np.asarray((member @ counts.astype(np.float64)).todense()) / number[:, None]


def nnls_proportions(counts: sparse.csr_matrix, profiles: np.ndarray) -> np.ndarray:
    r"""The proportions of cell types in spots :math:`(N, T)` by non-negative least squares

    .. math::
        \min_{w \geq 0} \sum_g \frac{1}{m_g} \left( y_g - \sum_t w_t p_{tg} \right)^2

    of the counts :math:`y` of a spot, over profiles :math:`p_t` in counts per cell; :math:`w` is then a
    number of cells, and is divided by its sum. A gene's error is weighed by its mean :math:`m_g` over
    the profiles, to which the variance of counts is proportional. A spot that no profile explains gets
    equal shares of all types that have one.

    Args:
        counts (csr_matrix): Counts of spots :math:`(N, G)`.
        profiles (np.ndarray): Mean counts of the cells of each type :math:`(T, G)`.
    """
    _check(counts, profiles)
    there = profiles.any(axis=1)
    mean = profiles[there].mean(axis=0)
    weight = np.divide(1.0, np.sqrt(mean), out=np.zeros_like(mean), where=mean > 0)
    # Of the least squares over all genes, as many equations are left as there are types.
    q, r = np.linalg.qr((profiles[there] * weight).T)
    target = counts @ (weight[:, None] * q)
    out = np.zeros((counts.shape[0], len(profiles)))
    out[:, there] = [nnls(r, row)[0] for row in target]
    total = out.sum(axis=1, keepdims=True)
    return np.where(total > 0, out / np.where(total > 0, total, 1.0), there / there.sum())


def nearest_profile(counts: sparse.csr_matrix, profiles: np.ndarray) -> np.ndarray:
    r"""All of each spot to the one cell type whose log-normalised profile correlates best with it
    :math:`(N, T)`; arguments as of :meth:`nnls_proportions`."""
    _check(counts, profiles)
    there = np.flatnonzero(profiles.any(axis=1))
    target = float(np.median(profiles[there].sum(axis=1)))
    spots = log_normalize(counts.tocsr(), target)
    types = log_normalize(sparse.csr_matrix(profiles[there]), target).toarray()
    types -= types.mean(axis=1, keepdims=True)
    types /= np.maximum(np.linalg.norm(types, axis=1, keepdims=True), 1e-12)
    # A spot's own mean and length are the same for all types: they change no order.
    best = there[np.asarray(spots @ types.T).argmax(axis=1)]
    return np.eye(len(profiles))[best]


def marker_genes(
    counts: sparse.csr_matrix, codes: np.ndarray, num_types: int, number: int = 10
) -> list[np.ndarray]:
    r"""The genes of each type whose mean log-normalised expression is furthest above that in the type
    which has the next most of them; arguments as of :meth:`reference_profiles`.

    Args:
        number (int, optional): The most genes of a type; only those above count. (default: :obj:`10`)
    """
    totals = np.asarray(counts.sum(axis=1)).reshape(-1)
    mean = reference_profiles(log_normalize(counts, float(np.median(totals))), codes, num_types)
    out = []
    for code, row in enumerate(mean):
        above = row - np.delete(mean, code, axis=0).max(axis=0, initial=0.0)
        best = np.argsort(-above, kind="stable")[:number]
        out.append(best[above[best] > 0])
    return out


def _check(counts: sparse.csr_matrix, profiles: np.ndarray):
    if counts.shape[1] != profiles.shape[1]:
        raise ValueError(
            f"The spots have {counts.shape[1]} genes, the profiles {profiles.shape[1]}; give both the "
            f"same genes in the same order"
        )
    if not profiles.any():
        raise ValueError("No cell type has a profile: all counts of the reference cells are zero")
