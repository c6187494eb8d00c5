import logging

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.transforms import ToUndirected

from stofm_pyg.loader._partition import grid_partition
from stofm_pyg.models import SToFM
from stofm_pyg.models._subpatches import subpatches
from stofm_pyg.nn import NodeType
from stofm_pyg.transforms import AddCLS, AddVirtualCells, NormalizePosition, SpatialRadiusGraph
from tests.official_matrix import CLS, VIRTUAL, matrix_of, official_matrix


def make_slice(num_cells=300, unit="official", seed=0):
    """A slice as `from_anndata(..., unit=unit, radius=None)` makes it, with two cells in one place."""
    generator = torch.Generator().manual_seed(seed)
    pos = torch.rand(num_cells, 2, generator=generator, dtype=torch.float64)
    pos = pos * torch.tensor([3000.0, 1500.0]) + 700
    pos[5] = pos[4]
    data = Data(x=torch.randn(num_cells, 6, generator=generator), pos=pos)
    data = AddVirtualCells(max_clusters=4)(NormalizePosition(unit)(data))
    data.pos = data.pos.float()
    data.edge_index, data.edge_attr = torch.empty(2, 0, dtype=torch.long), torch.empty(0, 1)
    return data


def make_model(**kwargs):
    torch.manual_seed(0)
    options = {"graph": "official", "heads": 2, "num_gaussians": 6} | kwargs
    return SToFM(6, hidden_channels=8, num_layers=2, **options).eval()


@pytest.mark.parametrize("num_cells", [600, 60])
def test_every_subpatch_is_the_official_input(num_cells):
    data = make_slice(num_cells)
    parts = subpatches(data, "official", 160, None, 0)
    assert len(parts) == {600: 6, 60: 1}[num_cells]
    cells = data.node_type == NodeType.CELL
    where = grid_partition(data.pos[cells], 160)
    num_far = 0
    num_virtual = int((data.node_type == VIRTUAL).sum())
    for number, part in enumerate(parts):
        # The cells of one official square, all virtual cells, and CLS: zeros at the origin.
        rows = part.row[part.row >= 0]
        assert torch.equal(rows.sort().values, (where == number).nonzero().view(-1))
        assert part.num_nodes == rows.numel() + num_virtual + 1
        assert torch.equal(part.x[: rows.numel()], data.x[:num_cells][rows])
        (cls,) = (part.node_type == CLS).nonzero().view(-1).tolist()
        assert part.row[cls] == -1
        assert part.x[cls].tolist() == [0.0] * 6 and part.pos[cls].tolist() == [0.0, 0.0]
        expected = official_matrix(part.pos, part.node_type)
        np.testing.assert_allclose(matrix_of(part), expected, rtol=1e-6)
        num_far += int((expected == 100).sum())
    assert num_far > {600: 10000, 60: 1}[num_cells]


def test_embed_reads_the_official_input():
    model, data = make_model(), make_slice()
    z = model.embed(data, cells_per_part=80, batch_size=2)
    expected = torch.full((300, 8), torch.nan)
    parts = subpatches(data, "official", 80, "grid", 0)
    for part in parts:
        keep = part.row >= 0
        with torch.no_grad():
            expected[part.row[keep]] = model(part).x[keep]
    assert torch.allclose(z, expected, atol=1e-5)
    by_radius = make_model(graph="radius")
    by_radius.load_state_dict(model.state_dict())
    assert (by_radius.embed(data, cells_per_part=80, method="grid") - z).abs().max() > 1e-3


def test_the_graph_of_the_slice_does_not_matter():
    model, data = make_model(), make_slice()
    z = model.embed(data, cells_per_part=80)
    assert torch.equal(model.embed(SpatialRadiusGraph(8.0)(data.clone()), cells_per_part=80), z)
    del data.edge_index, data.edge_attr
    assert torch.equal(model.embed(data, cells_per_part=80), z)


def test_cls_is_added_once():
    model, data = make_model(), make_slice()
    z = model.embed(data, cells_per_part=80)
    assert torch.allclose(model.embed(AddCLS()(data.clone()), cells_per_part=80), z, atol=1e-6)
    assert not (data.node_type == CLS).any()


def test_another_partition_on_request():
    model, data = make_model(), make_slice()
    grid, metis = (model.embed(data, cells_per_part=80, method=m) for m in ("grid", "metis"))
    assert torch.equal(model.embed(data, cells_per_part=80), grid)
    assert (grid - metis).abs().max() > 1e-3


def test_without_choice_a_radius_model_is_partitioned_by_its_graph():
    model, data = make_model(graph="radius"), SpatialRadiusGraph(8.0)(make_slice())
    metis = model.embed(data, cells_per_part=80, method="metis")
    assert torch.equal(model.embed(data, cells_per_part=80), metis)


@pytest.mark.parametrize("unit", ["spacing", None])
def test_another_unit(unit):
    data = make_slice(unit=unit or "official")
    if unit is None:
        del data.unit
    with pytest.raises(ValueError) as error:
        make_model().embed(data)
    assert str(error.value) == (
        f"A model with 'graph=\"official\"' takes positions in the official unit (got {unit!r}); make "
        f"the slice by 'from_anndata(..., unit=\"official\")', or apply "
        f"'NormalizePosition(unit=\"official\")' before virtual cells are added"
    )
    make_model(graph="radius").embed(data, method="grid")


def test_a_slice_without_virtual_cells(caplog):
    data = make_slice()
    bare = Data(x=data.x[:300], pos=data.pos[:300], unit="official")
    with caplog.at_level(logging.WARNING):
        assert make_model().embed(bare, cells_per_part=80).isfinite().all()
    assert "no virtual cells" in caplog.text


def test_distances_that_pyg_added_up_are_refused():
    model, data = make_model(graph="radius"), SpatialRadiusGraph(8.0)(make_slice())
    z = model.embed(data, cells_per_part=80)
    again = ToUndirected(reduce="min")(data.clone())
    assert torch.allclose(model.embed(again, cells_per_part=80), z, atol=1e-6)
    with pytest.raises(ValueError, match="edges have another distance in 'edge_attr' .*reduce"):
        model.embed(ToUndirected()(data.clone()), cells_per_part=80)


def make_plain():
    data = make_slice(unit="spacing")
    return SpatialRadiusGraph(3.0)(data)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-5), (torch.bfloat16, 0.1)])
def test_a_model_of_another_type(dtype, tolerance):
    data, model = make_plain(), make_model(graph="radius")
    z = model.embed(data)
    other = model.to(dtype).embed(data)
    assert other.dtype == torch.float32 and torch.allclose(other, z, atol=tolerance)


def test_a_model_without_weights_is_refused():
    with pytest.raises(ValueError, match="on the meta device and has no weights"):
        make_model(graph="radius").to("meta").embed(make_plain())


def test_distances_of_one_dimension():
    data, model = make_plain(), make_model(graph="radius")
    z = model.embed(data, cells_per_part=60)
    data.edge_attr = data.edge_attr.view(-1)
    assert torch.equal(model.embed(data, cells_per_part=60), z)


@pytest.mark.parametrize("argument", ["slice_key", "sliec_key"])
def test_there_is_nothing_to_find_in_a_slice(argument):
    with pytest.raises(TypeError, match=f"'{argument}' means nothing for a slice that is converted"):
        make_model(graph="radius").embed(make_plain(), **{argument: "section"})


@pytest.mark.parametrize("data", [None, {1: "a"}, [[1]], 3.5])
def test_what_is_no_slice(data):
    with pytest.raises(TypeError, match="Expected an AnnData, the path of a file or folder, or slices"):
        make_model(graph="radius").embed(data)
