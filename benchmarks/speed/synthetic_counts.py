import numpy as np
from scipy import sparse

CELLS_PER_BLOCK = 20_000


def synthetic_counts(
    num_cells: int, num_genes: int, mean_detected: float, seed: int = 0
) -> sparse.csr_matrix:
    r"""Makes counts float32, block by block, so that no more than the result is in memory.

    Args:
        num_cells (int): Number of cells.
        num_genes (int): Number of genes, some of them frequent and some rare.
        mean_detected (float): Mean number of genes with a count in a cell.
        seed (int, optional): The seed. (default: :obj:`0`)
    """
    if not 0 <= mean_detected <= num_genes or num_genes < 1:
        raise ValueError(
            f"A cell with counts of {mean_detected:g} genes needs as many genes, got {num_genes}"
        )
    rng = np.random.default_rng(seed)
    share = mean_detected / num_genes
    # Shares of different genes between twice the mean (or 1) and none, with the mean asked for.
    spread = min(share, 1 - share)
    detected = (share + spread * np.linspace(-1, 1, num_genes)).astype(np.float32)

    # Memory that is not written to is not used.
    data = np.empty(num_cells * num_genes, dtype=np.float32)
    indices = np.empty(num_cells * num_genes, dtype=np.int32)
    indptr = np.zeros(num_cells + 1, dtype=np.int64)
    end = 0
    for start in range(0, num_cells, CELLS_PER_BLOCK):
        size = min(CELLS_PER_BLOCK, num_cells - start)
        expressed = rng.random((size, num_genes), dtype=np.float32) < detected
        indptr[start + 1 : start + size + 1] = end + np.cumsum(expressed.sum(axis=1))
        begin, end = end, int(indptr[start + size])
        indices[begin:end] = np.flatnonzero(expressed) % num_genes
        data[begin:end] = rng.geometric(0.5, size=end - begin)
    data.resize(end, refcheck=False)
    indices.resize(end, refcheck=False)
    return sparse.csr_matrix((data, indices, indptr), shape=(num_cells, num_genes))
