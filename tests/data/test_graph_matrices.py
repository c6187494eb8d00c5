import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from stofm_pyg.data.graph_matrices import graph_matrices


def piece(cell_id, edges, lengths, unit="spacing"):
    return Data(
        cell_id=torch.tensor(cell_id),
        edge_index=torch.tensor(edges).t().reshape(2, -1),
        edge_attr=torch.tensor(lengths).view(-1, 1),
        unit=unit,
    )


def test_edges_are_at_the_rows_of_the_cells():
    first = piece([4, 0, -1], [[0, 1], [1, 0], [0, 2], [2, 0]], [2.5, 2.5, 1.0, 1.0])
    second = piece([1, 3], [[0, 1], [1, 0]], [0.0, 0.0])
    connectivities, distances, unit = graph_matrices([first, second], 5)
    expected = np.zeros((5, 5))
    expected[4, 0] = expected[0, 4] = expected[1, 3] = expected[3, 1] = 1
    assert np.array_equal(connectivities.toarray(), expected)
    assert distances.nnz == 4  # Coincident cells keep their edge.
    assert distances[4, 0] == distances[0, 4] == 2.5 and distances[1, 3] == 0.0
    assert connectivities.dtype == distances.dtype == np.float64
    assert connectivities.format == distances.format == "csr"
    assert np.array_equal(connectivities.indices, distances.indices)
    assert unit == "spacing"


def test_direction():
    connectivities, _, _ = graph_matrices([piece([2, 0], [[0, 1]], [1.0])], 3)
    assert connectivities[2, 0] == 1 and connectivities[0, 2] == 0


def test_no_edges():
    data = piece([0, 1], torch.empty(0, 2).long().tolist(), [])
    data.edge_index = data.edge_index.long()
    connectivities, distances, _ = graph_matrices([data], 4)
    assert connectivities.shape == distances.shape == (4, 4) and distances.nnz == 0


def test_errors():
    data = piece([0, 1], [[0, 1]], [1.0])
    with pytest.raises(ValueError, match=r"different units: \['micron', 'spacing'\]"):
        graph_matrices([data, piece([2, 3], [[0, 1]], [1.0], unit="micron")], 4)
    del data.edge_attr
    with pytest.raises(ValueError, match="no 'edge_index' and 'edge_attr'.*SpatialRadiusGraph"):
        graph_matrices([data], 4)
