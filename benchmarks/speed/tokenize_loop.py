import numpy as np
from scipy import sparse

from stofm_pyg.data.genes.mapping import GeneMapping


def tokenize_loop(
    counts: sparse.csr_matrix,
    mapping: GeneMapping,
    cls_token_id: int,
    max_length: int = 2048,
    target_sum: float = 10_000,
) -> list[list[int]]:
    r"""Tokenises cell by cell, in the steps of `tokenize_cell` in Geneformer and those around it in
    SToFM, whose preprocessing makes the columns with genes dense, and whose collator puts CLS before the
    tokens of a cell, which are a list by then.

    Args:
        counts (csr_matrix): Counts :math:`(N, M)`.
        mapping (GeneMapping): Which columns are which genes, no two the same.
        cls_token_id (int): The token before each cell.
        max_length (int, optional): The largest number of tokens of a cell. (default: :obj:`2048`)
        target_sum (float, optional): The total count that cells are scaled to.
            (default: :obj:`10_000`)
    """
    if len(mapping.columns) != len(mapping.token_ids):
        raise ValueError(
            f"{len(mapping.columns)} columns are {len(mapping.token_ids)} genes: the loop does not add "
            f"up columns of one gene. Take data with unique genes."
        )
    totals = np.asarray(counts.sum(axis=1)).reshape(-1)
    medians, tokens = mapping.medians[mapping.gene], mapping.token_ids[mapping.gene]
    totals[totals == 0] = 1.0  # The official code divides by zero here.
    values = counts[:, mapping.columns].toarray().T / totals * target_sum / medians[:, None]
    out = []
    for cell in range(counts.shape[0]):
        ranked = _tokenize_cell(values[:, cell], tokens)
        out.append(([cls_token_id] + ranked.tolist())[:max_length])
    return out


def _tokenize_cell(values: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    expressed = np.nonzero(values)[0]
    order = np.argsort(-values[expressed])
    return tokens[expressed][order]
