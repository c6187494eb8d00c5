import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from scipy.stats import ttest_ind_from_stats

from stofm_pyg.data import Keys, get_matrix
from stofm_pyg.data.slices.components import log_normalize
from stofm_pyg.plot.piece import class_column

# Added to mean counts before a ratio is taken.
PSEUDO = 1e-9


def marker_genes(
    adata: AnnData,
    key: str = Keys.DOMAIN,
    n: int | None = 5,
    layer: str | None = None,
    min_share: float = 0.1,
) -> pd.DataFrame:
    r"""Finds genes that mark domains: those that cells of a domain express more than all other cells,
    by Welch's t-test on log-normalised counts.

    Domains were found on the same counts, so that the probabilities are not those of independent data:
    they rank genes and test nothing.

    Args:
        adata (AnnData): Cells by genes, raw counts.
        key (str, optional): The column of :obj:`adata.obs` with the domains.
            (default: :obj:`"stofm_domain"`)
        n (int, optional): The number of genes of each domain; all without. (default: :obj:`5`)
        layer (str, optional): Where the counts are, if not in :obj:`adata.X`. (default: :obj:`None`)
        min_share (float, optional): Genes that are found in a smaller share of the cells of a domain do
            not mark it. (default: :obj:`0.1`)

    Returns:
        A row for each gene of each domain, the first ones first: :obj:`domain`, :obj:`gene`,
        :obj:`score` (t), :obj:`log2_fold_change`, :obj:`share` and :obj:`share_elsewhere` (of cells with
        the gene), :obj:`mean` (log-normalised), and :obj:`p_adjusted` (Benjamini and Hochberg).

    Raises:
        ValueError: There is no such column or layer, or fewer than two domains with two cells, or
            :obj:`n` is not positive.
    """
    if n is not None and n < 1:
        raise ValueError(f"'n' must be at least 1 (got {n})")
    codes, names = class_column(adata.obs, key)
    expression, member, present = group_expression(adata, codes, len(names), layer)
    counts = np.asarray(member.sum(axis=0)).ravel()
    shown = np.flatnonzero(counts >= 2)
    if len(shown) < 2:
        raise ValueError(
            f"{key!r} has {len(shown)} domains of two cells or more; genes mark one of several"
        )
    total, squares, found = (
        np.asarray((member.T @ matrix).todense())
        for matrix in (expression, expression.power(2), present)
    )
    plain = expression.copy()
    plain.data = np.expm1(plain.data)
    plain = np.asarray((member.T @ plain).todense())
    frames = []
    for row in shown:
        inside, outside = counts[row], counts.sum() - counts[row]
        if outside < 2:
            continue
        means = total[row] / inside, (total.sum(axis=0) - total[row]) / outside
        spread = [
            np.sqrt(np.maximum(part / size - mean**2, 0) * size / (size - 1))
            for part, mean, size in (
                (squares[row], means[0], inside),
                (squares.sum(axis=0) - squares[row], means[1], outside),
            )
        ]
        with np.errstate(divide="ignore", invalid="ignore"):
            score, p = ttest_ind_from_stats(
                means[0], spread[0], inside, means[1], spread[1], outside, equal_var=False
            )
        score, p = np.nan_to_num(score, posinf=0.0, neginf=0.0), np.nan_to_num(p, nan=1.0)
        high = plain[row] / inside + PSEUDO, (plain.sum(axis=0) - plain[row]) / outside + PSEUDO
        frame = pd.DataFrame(
            {
                "domain": names[row],
                "gene": adata.var_names.astype(str),
                "score": score,
                "log2_fold_change": np.log2(high[0] / high[1]),
                "share": found[row] / inside,
                "share_elsewhere": (found.sum(axis=0) - found[row]) / outside,
                "mean": means[0],
                "p_adjusted": _adjusted(p),
            }
        )
        if n is not None:
            frame = frame[(frame["share"] >= min_share) & (frame["score"] > 0)]
        frames.append(frame.sort_values("score", ascending=False, kind="stable").head(n or len(frame)))
    return pd.concat(frames, ignore_index=True)


def group_expression(
    adata: AnnData, codes: np.ndarray, num_groups: int, layer: str | None
) -> tuple[sparse.csr_matrix, sparse.csr_matrix, sparse.csr_matrix]:
    r"""Returns of the cells of known groups the log-normalised counts :math:`(N, G)`, which group they
    are of :math:`(N, K)`, and which genes they have :math:`(N, G)`."""
    known = np.flatnonzero(codes >= 0)
    counts = get_matrix(adata, layer)[known]
    totals = np.asarray(counts.sum(axis=1)).ravel()
    target = float(np.median(totals[totals > 0])) if (totals > 0).any() else 1.0
    expression = sparse.csr_matrix(log_normalize(counts, target), dtype=np.float64)
    ones = np.ones(len(known))
    member = sparse.csr_matrix((ones, (np.arange(len(known)), codes[known])), (len(known), num_groups))
    return expression, member, (counts > 0).astype(np.float64)


def _adjusted(p: np.ndarray) -> np.ndarray:
    order = np.argsort(p)[::-1]
    ranked = p[order] * len(p) / np.arange(len(p), 0, -1)
    out = np.empty_like(p)
    out[order] = np.minimum(np.minimum.accumulate(ranked), 1.0)
    return out
