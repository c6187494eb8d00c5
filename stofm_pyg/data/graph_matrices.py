from collections.abc import Sequence

import numpy as np
from scipy import sparse
from torch_geometric.data import Data


def graph_matrices(
    slices: Sequence[Data], num_cells: int
) -> tuple[sparse.csr_matrix, sparse.csr_matrix, str]:
    r"""Returns the edges between cells of slices as two matrices over the rows of their AnnData.

    Cells at the same position keep their edge: its distance is a stored zero.

    Args:
        slices (sequence of Data): Slices with :obj:`cell_id`, :obj:`edge_index` and
            :obj:`edge_attr`.
        num_cells (int): Number :math:`N` of rows of the AnnData.

    Returns:
        Connectivities (1 for each edge) and distances, both :math:`(N, N)` float64, and the unit of
        the distances.
    """
    units = {data.get("unit") or "unknown" for data in slices}
    if len(units) > 1:
        raise ValueError(
            f"The slices have distances in different units: {sorted(units)}. Convert them with the "
            f"same 'unit='."
        )
    row, col, distance = [], [], []
    for data in slices:
        if data.get("edge_index") is None or data.get("edge_attr") is None:
            raise ValueError(
                "A slice has no 'edge_index' and 'edge_attr' to write as a graph. Convert it with "
                "'radius=', or apply 'SpatialRadiusGraph'."
            )
        ends = data.cell_id.cpu().numpy()[data.edge_index.cpu().numpy()]
        between_cells = (ends >= 0).all(axis=0)
        row.append(ends[0, between_cells])
        col.append(ends[1, between_cells])
        distance.append(data.edge_attr.view(-1).cpu().numpy()[between_cells])

    ends = (np.concatenate(row), np.concatenate(col))
    distance = np.concatenate(distance).astype(np.float64)
    shape = (num_cells, num_cells)
    connectivities = sparse.csr_matrix((np.ones_like(distance), ends), shape=shape)
    return connectivities, sparse.csr_matrix((distance, ends), shape=shape), units.pop()
