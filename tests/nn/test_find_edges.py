import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stofm_pyg.nn._find_edges import find_edges

NODES = 6
pair = st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1))


@settings(max_examples=50)
@given(st.lists(pair, unique=True), st.lists(pair))
def test_as_a_dictionary_finds_them(edges, pairs):
    number = {edge: index for index, edge in enumerate(edges)}
    edge_index, wanted = (torch.tensor(x, dtype=torch.long).view(-1, 2).t() for x in (edges, pairs))
    expected = [number.get(item, -1) for item in pairs]
    assert find_edges(edge_index, wanted, NODES).tolist() == expected
