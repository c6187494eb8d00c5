from collections.abc import Sequence

from scipy import sparse

from stofm_pyg.data import validate_counts


def are_counts(counts: Sequence[sparse.csr_matrix]) -> tuple[bool, str]:
    r"""Whether matrices are raw counts, and how that was seen, in words.

    Args:
        counts (sequence of csr_matrix): The matrix of each slice :math:`(N_i, G)`.
    """
    for matrix in counts:
        try:
            validate_counts(matrix)
        except ValueError as error:
            return False, str(error).partition("found ")[2].partition(". Pass")[0]
    return True, "all values are whole and none is negative"
