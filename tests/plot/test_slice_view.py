import base64
import re

import pytest
import torch
from torch_geometric.data import Data

from stofm_pyg.plot import show, slice_html
from tests.plot.plot_case import PNG, POS


@pytest.fixture
def data():
    out = Data(
        pos=torch.tensor(POS * 1000.0), x=torch.zeros(5, 7), domain=torch.tensor([0, 1, -1, 0, -1]),
        node_type=torch.tensor([0, 0, 0, 0, 2]),
        edge_index=torch.tensor([[0, 1, 1, 2, 4], [1, 0, 2, 1, 0]]),
    )  # fmt: skip
    out.name, out.unit, out.classes = "a <b>", "micron", {"domain": ["L1", "L2"]}
    return out


def test_counts_of_a_slice(data):
    assert repr(show(data)).split("\n  ") == [
        "a <b>",
        "cells: 4",
        "virtual cells: 1",
        "features: 7",
        "edges: 4",  # Without that of the virtual cell.
        "neighbours of a cell: 1.0 on average, 1 have none",
        "extent: 2,000 x 1,000 (microns)",
        "domain: 2 classes, 1 unknown",
    ]


def test_html_holds_a_picture_and_the_counts(data):
    text = show(data)._repr_html_()
    assert text == slice_html(data)
    image = re.search(r"src='data:image/png;base64,([^']+)'", text)[1]
    assert base64.b64decode(image)[:8] == PNG
    assert "<b>a &lt;b&gt;</b>" in text and "<b>a <b>" not in text
    assert re.search(r"<th[^>]*>cells</th><td[^>]*>4</td>", text)
    with pytest.raises(ValueError, match="'layer' is not in 'data', which holds 'domain'"):
        slice_html(data, "layer")


def test_a_slice_of_positions_alone():
    bare = Data(pos=torch.tensor(POS))
    assert repr(show(bare)).split("\n  ") == ["Slice", "cells: 5", "extent: 2 x 1 (unknown unit)"]
    assert "<b>Slice</b>" in slice_html(bare)
