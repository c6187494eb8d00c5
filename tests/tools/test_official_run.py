import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.golden_case import GOLDEN, GoldenCase
from tools.official_run import OfficialRun, largest_error


@pytest.fixture
def change(tmp_path):
    """Writes a changed copy of a reference run and returns its path."""

    def write(edit=None, config=None, name="se2_post_ln"):
        path = tmp_path / "run.safetensors"
        tensors = load_file(GOLDEN / f"{name}.safetensors")
        if edit is not None:
            edit(tensors)
        save_file(tensors, path)
        saved = json.loads((GOLDEN / f"{name}.json").read_text())
        saved["config"] |= config or {}
        path.with_suffix(".json").write_text(json.dumps(saved))
        return path

    return write


def test_batch_has_the_matrix_and_the_labels_of_the_run():
    run = GoldenCase("se2_post_ln")
    data = run.batch()
    assert data.batch.bincount().tolist() == [75, 66]  # The second is padded.
    matrix = torch.full((141, 141), 100.0)
    matrix[data.edge_index[1], data.edge_index[0]] = data.edge_attr.view(-1)
    start = 0
    for graph, size in enumerate((75, 66)):
        distance = run.tensors["in.attn_bias"][graph, :size, :size]
        types = run.tensors["in.token_types"][graph, :size]
        part = matrix[start : start + size, start : start + size].clone()
        part[types == 1] = 0.0
        part[:, types == 1] = 0.0
        assert torch.equal(part.fill_diagonal_(0.0), distance)
        query, key = run.tensors["in.pair_labels"][graph].ne(-100).nonzero().t()
        mine = (data.pair_index[0] >= start) & (data.pair_index[0] < start + size)
        assert torch.equal(data.pair_index[:, mine] - start, torch.stack([key, query]))
        expected = run.tensors["in.pair_labels"][graph, query, key]
        assert torch.equal(data.pair_distance[mine], expected)
        start += size
    labels = run.nodes("in.labels")
    assert torch.equal(data.target, labels[labels[:, 0] != -100])


def test_nodes_at_distance_zero_have_no_bias(change):
    def edit(tensors):
        tensors["in.attn_bias"][0, 10, 12] = tensors["in.attn_bias"][0, 12, 10] = 0.0

    run = OfficialRun(change(edit))
    pairs = set(map(tuple, run.batch().edge_index.t().tolist()))
    assert (10, 12) in pairs and (12, 10) in pairs
    bias = run.encoder().blocks[0].conv.distance(torch.tensor([[0.0], [1e-3], [1.0]]))
    assert torch.equal(bias[0], torch.zeros(4)) and (bias[1:] != 0).all()
    # As in our layer where nothing in the file asks for it.
    assert (GoldenCase("se2_post_ln").encoder().blocks[0].conv.distance(torch.zeros(1, 1)) != 0).all()


def set_value(name, index, value):
    def edit(tensors):
        tensors[name][index] = value

    return edit


def without(name):
    return lambda tensors: tensors.pop(name)


def cut(name):
    def edit(tensors):
        tensors[name] = tensors[name][:, 1:].contiguous()

    return edit


@pytest.mark.parametrize(
    "edit, message",
    [
        (without("in.token_types"), "lacks in.token_types"),
        (without("out.hidden.2"), "lacks out.hidden.2"),
        (without("state.pair_head.2.bias"), "lacks state.pair_head.2.bias"),
        (cut("in.token_types"), r"'in.token_embeddings' must have shape \[2, 74, 24\]"),
        (cut("out.pair_rep"), r"'out.pair_rep' must have shape \[2, 75, 75, 4\]"),
        (cut("in.labels"), r"'in.labels' must have shape \[2, 75, 32\]"),
        (set_value("out.hidden.1", (0, 0, 0), torch.nan), "'out.hidden.1' holds NaN"),
        (set_value("in.attn_bias", (0, 5, 6), -1.0), "negative distances"),
        (set_value("in.attn_bias", (0, 5, 5), 1.0), "0 on the diagonal and for CLS"),
        (set_value("in.attn_bias", (0, 0, 5), 1.0), "0 on the diagonal and for CLS"),
        (set_value("in.token_types", (0, 5), 4), r"must lie in 0 to 3 \(got 0 to 4\)"),
        (set_value("in.token_types", 1, 3), "subpatch without any node"),
    ],
)
def test_another_form(change, edit, message):
    with pytest.raises(ValueError, match=message):
        OfficialRun(change(edit))


@pytest.mark.parametrize(
    "config, message",
    [
        ({"activation_fn": "gelo"}, "Unknown activation 'gelo'"),
        ({"num_hidden_layers": 4}, "lacks out.hidden.4"),
        ({"embedding_dim": 64}, r"must have shape \["),
        ({"input_dim": None}, "no 'input_dim'"),
    ],
)
def test_another_config(change, config, message):
    with pytest.raises(ValueError, match=message):
        OfficialRun(change(config=config))


def test_weights_that_do_not_fit_the_config(change):
    for config, message in (
        ({"ffn_embedding_dim": 50}, r"fc1.weight \[48, 32\] instead of \[50, 32\]"),
        ({"pre_layernorm": True}, "missing .*final_layer_norm"),
    ):
        with pytest.raises(ValueError, match=message):
            OfficialRun(change(config=config)).encoder()


def test_bad_files(tmp_path, change):
    path = change()
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        OfficialRun(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="There is no file"):
        OfficialRun(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(FileNotFoundError, match=r"run\.json.*config of the run"):
        OfficialRun(path)
    for text in ("{", "[]", '{"sizes": []}'):
        path.with_suffix(".json").write_text(text)
        with pytest.raises(ValueError, match="not a JSON file|under the key 'config'"):
            OfficialRun(path)
    shutil.rmtree(tmp_path)


def test_largest_error():
    expected = torch.tensor([1.0, -4.0])
    assert largest_error(torch.tensor([1.5, -4.0]), expected) == 0.125
    assert largest_error(torch.zeros(2), torch.zeros(2)) == 0
    assert largest_error(torch.ones(2), torch.zeros(2)) == float("inf")
    with pytest.raises(ValueError, match=r"\[1, 2\] and \[2\] do not compare"):
        largest_error(expected.view(1, 2), expected)
