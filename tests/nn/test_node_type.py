import torch

from stofm_pyg.nn import NodeType


def test_the_official_codes():
    assert {kind.name: int(kind) for kind in NodeType} == {
        "CELL": 0,
        "CLS": 1,
        "VIRTUAL": 2,
        "PADDING": 3,
    }


def test_compares_with_tensors():
    node_type = torch.tensor([0, 2, 1, 0], dtype=torch.uint8)
    assert (node_type == NodeType.CELL).tolist() == [True, False, False, True]
