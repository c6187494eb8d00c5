import math

import pytest
import torch
from torch_geometric.data import Data

import stofm_pyg.models._subpatches as subpatches_module
from stofm_pyg.loader import SpatialClusterData
from stofm_pyg.models import LabelHead, SToFM
from stofm_pyg.nn import NodeType, SliceEncoder
from stofm_pyg.testing import assert_invariant, permute_nodes
from stofm_pyg.transforms import AddCLS, AddVirtualCells, SpatialRadiusGraph
from tests.random_batch import arguments, random_batch


def make_slice(num_cells=90, virtual=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pos = 9 * torch.rand(num_cells, 2, generator=generator)
    x = torch.randn(num_cells, 6, generator=generator) + pos[:, :1]
    data = Data(x=x, pos=pos, cell_id=torch.arange(num_cells))
    if virtual:
        data = AddVirtualCells(max_clusters=3)(data)
    return SpatialRadiusGraph(1.5)(data)


def make_model(conv="SE2TransformerConv", **kwargs):
    torch.manual_seed(0)
    options = {"heads": 2, "num_gaussians": 6, "max_distance": 3.0} | kwargs
    return SToFM(6, hidden_channels=8, num_layers=2, conv=conv, **options)


def by_hand(model, data, cells_per_part, layers="last", **kwargs):
    """Rows of the cells, subpatch by subpatch, put back by `cell_id`."""
    model.eval()
    rows = {}
    parts = SpatialClusterData(data, cells_per_part, **kwargs)
    for index in range(len(parts)):
        part = parts[index]
        with torch.no_grad():
            output = model(part)
        z = torch.cat(output.hidden_states[1:], dim=1) if layers == "all" else output.x
        for cell, kind, row in zip(part.cell_id.tolist(), part.node_type, z, strict=True):
            if kind == NodeType.CELL:
                assert cell not in rows
                rows[cell] = row
    return len(parts), torch.stack([rows[cell] for cell in range(len(rows))])


@pytest.mark.parametrize("method", ["metis", "grid"])
@pytest.mark.parametrize("conv", ["SE2TransformerConv", "GATConv"])
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_embed_is_every_subpatch_in_the_order_of_the_cells(method, conv, batch_size):
    model, data = make_model(conv), make_slice()
    num_parts, expected = by_hand(model, data, 30, method=method)
    assert num_parts >= 3
    z = model.embed(data, cells_per_part=30, batch_size=batch_size, method=method)
    assert z.shape == (90, 8) and z.device.type == "cpu" and not z.requires_grad
    assert torch.allclose(z, expected, atol=1e-5)


def test_order_is_that_of_the_slice_not_of_the_cell_ids():
    model, data = make_model(), make_slice()
    expected = model.embed(data, cells_per_part=30)
    is_cell = data.node_type == NodeType.CELL
    data.cell_id[is_cell] = torch.randperm(90) + 1000
    assert torch.equal(model.embed(data, cells_per_part=30), expected)


def test_the_partition_is_the_one_asked_for(monkeypatch):
    asked = []

    class Recorded(SpatialClusterData):
        def __init__(self, data, cells_per_part, **kwargs):
            asked.append((cells_per_part, kwargs))
            super().__init__(data, cells_per_part, **kwargs)

    monkeypatch.setattr(subpatches_module, "SpatialClusterData", Recorded)
    make_model().embed([make_slice(20), make_slice(30)], 15, method="grid", seed=5)
    assert [cells for cells, _ in asked] == [15, 15]
    assert all(kwargs["method"] == "grid" and kwargs["seed"] == 5 for _, kwargs in asked)


def test_all_layers_side_by_side():
    model, data = make_model(), make_slice()
    z = model.embed(data, cells_per_part=30, layers="all")
    assert z.shape == (90, 16)
    assert torch.allclose(z, by_hand(model, data, 30, "all")[1], atol=1e-5)
    assert torch.equal(z[:, 8:], model.embed(data, cells_per_part=30))


def test_shuffled_cells_give_shuffled_rows():
    model, data = make_model(), make_slice(virtual=False)
    perm = torch.randperm(90, generator=torch.Generator().manual_seed(1))
    z = model.embed(data, cells_per_part=90)
    shuffled = model.embed(permute_nodes(data, perm), cells_per_part=90)
    assert torch.allclose(shuffled, z[perm], atol=1e-5)
    assert (shuffled - z).abs().max() > 0.01


def test_virtual_cells_may_stand_anywhere():
    model, data = make_model(), make_slice()
    perm = torch.randperm(data.num_nodes, generator=torch.Generator().manual_seed(1))
    shuffled = permute_nodes(data, perm)
    cells = perm[data.node_type[perm] == NodeType.CELL]
    z = model.embed(data, cells_per_part=1000)
    assert torch.allclose(model.embed(shuffled, cells_per_part=1000), z[cells], atol=1e-5)


def test_invariant_from_positions_to_embedding():
    model = make_model()
    build = SpatialRadiusGraph(1.5)
    symmetries = ("rotation", "translation", "reflection", "permutation")
    assert_invariant(
        lambda data: model.embed(data, cells_per_part=1000),
        make_slice(virtual=False),
        symmetries,
        graph=build,
    )


def test_virtual_cells_and_cls_are_seen_but_not_returned():
    model, data = make_model(), make_slice()
    z = model.embed(data)
    bare = model.embed(make_slice(virtual=False))
    with_cls = model.embed(AddCLS()(data.clone()))
    assert z.shape == bare.shape == with_cls.shape == (90, 8)
    assert (z - bare).abs().max() > 1e-3 and (z - with_cls).abs().max() > 1e-3


def test_one_slice_or_many():
    model = make_model()
    slices = [make_slice(seed=0), make_slice(40, seed=1)]
    several = model.embed(slices, cells_per_part=30)
    assert [tuple(z.shape) for z in several] == [(90, 8), (40, 8)]
    for data, z in zip(slices, several, strict=True):
        assert torch.equal(model.embed(data, cells_per_part=30), z)
    assert model.embed([]) == []


def test_a_single_cell_and_a_slice_smaller_than_a_subpatch():
    model = make_model()
    data = Data(x=torch.randn(1, 6), pos=torch.zeros(1, 2))
    assert model.embed(SpatialRadiusGraph(1.0)(data)).isfinite().all()
    assert model.embed(make_slice(5, virtual=False), cells_per_part=1000).shape == (5, 8)


def test_the_slice_is_not_changed():
    data = make_slice()
    before = data.clone()
    make_model().embed(data, cells_per_part=30)
    assert set(data.keys()) == set(before.keys())
    assert all(torch.equal(data[key], before[key]) for key in before.keys())


@pytest.mark.parametrize("training", [False, True])
def test_the_mode_is_restored_and_dropout_is_off(training):
    model, data = make_model(dropout=0.5), make_slice()
    model.train(training)
    z = model.embed(data)
    assert model.training is training and model.encoder.training is training
    assert torch.equal(model.embed(data), z)


def test_the_mode_is_restored_after_an_error():
    model = make_model().train()
    with pytest.raises(ValueError, match="no graph"):
        model.embed(Data(x=torch.randn(3, 6), pos=torch.randn(3, 2)))
    assert model.training


def test_unknown_layers():
    with pytest.raises(ValueError, match=r"'layers' must be 'last' or 'all' \(got 'first'\)"):
        make_model().embed(make_slice(), layers="first")


def test_another_number_of_features():
    model, data = make_model(), make_slice()
    data.x = data.x[:, :4]
    for run in (model, model.embed):
        with pytest.raises(ValueError) as error:
            run(data)
        assert str(error.value) == (
            "The model takes 6 features a cell (got 4); make the features as those that it was "
            "trained on, or make a model with 'in_channels=4'"
        )


def test_forward_is_the_encoder():
    model, data = make_model(), random_batch(channels=6)
    output, expected = model(data), model.encoder(*arguments(data))
    assert torch.equal(output.x, expected.x)
    assert len(output.hidden_states) == 3 and output.pair.num_layers == 2
    assert torch.equal(model(data).pair.dense(), expected.pair.dense())


def test_masked_cells_are_replaced_by_the_mask_vector():
    model, data = make_model(), random_batch(channels=6)
    assert torch.equal(model.mask_token, torch.zeros(6))
    with torch.no_grad():
        model.mask_token.copy_(torch.arange(6.0))
    by_hand = data.clone()
    by_hand.x = data.x.clone()
    by_hand.x[[1, 5]] = torch.arange(6.0)
    expected = model(by_hand).x

    x = data.x.clone()
    data.mask = torch.zeros(data.num_nodes, dtype=torch.bool)
    data.mask[[1, 5]] = True
    output = model(data).x
    assert torch.equal(output, expected) and torch.equal(data.x, x)
    output[1].square().sum().backward()
    assert model.mask_token.grad.abs().max() > 0


def test_config():
    assert make_model("GATConv", dropout=0.1).config == {
        "in_channels": 6,
        "hidden_channels": 8,
        "num_layers": 2,
        "conv": "GATConv",
        "graph": "radius",
        "heads": 2,
        "num_gaussians": 6,
        "max_distance": 3.0,
        "dropout": 0.1,
    }


def test_unknown_graph():
    with pytest.raises(ValueError, match="Unknown graph 'knn'; known: radius, official"):
        make_model(graph="knn")


def test_an_activation_of_transformers_by_name(tmp_path):
    model, data = make_model(act="gelu_new").eval(), make_slice()
    assert model.config["act"] == "gelu_new"
    model.save_pretrained(tmp_path)
    z = model.embed(data)
    assert torch.equal(SToFM.from_pretrained(tmp_path).embed(data), z)
    other = make_model(act="quick_gelu")
    other.load_state_dict(model.state_dict())
    assert (other.embed(data) - z).abs().max() > 1e-4


def test_seeds_give_the_same_model():
    first, second = make_model(), make_model()
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    first.reset_parameters()
    assert torch.equal(first.mask_token, torch.zeros(6))
    assert not torch.equal(first.encoder.lin_in.weight, second.encoder.lin_in.weight)
    assert math.isclose(first.encoder.lin_in.weight.abs().max().item(), 1 / 6**0.5, rel_tol=0.2)


def test_repr():
    model = make_model("GATConv")
    assert repr(model) == (
        "SToFM(\n"
        "  SliceEncoder(6, 8, num_layers=2, conv=GATConv, heads=2),\n"
        "  features=None,\n"
        "  settings=SliceSettings(unit='spacing', radius=8.0),\n"
        "  read_out=ReadOut(layers='last', readout='cell'),\n"
        f"  parameters={sum(p.numel() for p in model.parameters()):,},\n"
        ")"
    )
    assert repr(SToFM(6).encoder) == repr(SliceEncoder(6, 256, 4))


def test_repr_of_what_was_learned():
    model = make_model()
    model.settings = model.settings.replace(unit="micron", radius=40.0, max_clusters=9)
    model.fitted_to = {"slices": 3, "cells": 3000}
    model.heads["layer"] = LabelHead(8, ["A", "B"])
    said = repr(model)
    assert "settings=SliceSettings(unit='micron', radius=40.0, max_clusters=9)," in said
    assert "fitted_to={'slices': 3, 'cells': 3000}," in said and "labels=['layer']," in said
    official = SToFM(6, hidden_channels=8, num_layers=1, heads=2, graph="official")
    assert "graph='official'" in repr(official)
