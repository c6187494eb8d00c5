import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from stofm_pyg.nn import SE2TransformerConv
from tests.golden_case import CASES, GOLDEN
from tools.check_official import main


def write(path, edit=None, name="se2_pre_ln", config=None):
    tensors = load_file(GOLDEN / f"{name}.safetensors")
    if edit is not None:
        edit(tensors)
    save_file({k: v.contiguous() for k, v in tensors.items()}, path)
    saved = json.loads((GOLDEN / f"{name}.json").read_text())
    saved["config"] |= config or {}
    path.with_suffix(".json").write_text(json.dumps(saved))
    return str(path)


EVALUATORS = [name for name in SE2TransformerConv.evaluators if name != "fused"]  # Which is for CUDA.


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("evaluator", [None, *EVALUATORS])
def test_the_reference_runs_are_met(name, evaluator, capsys):
    options = [] if evaluator is None else ["--evaluator", evaluator]
    assert main([str(GOLDEN / f"{name}.safetensors"), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = dict(line.split() for line in lines[1:-2])
    # Every result in the file but the norm that is never called, which has no gradient.
    tensors = load_file(GOLDEN / f"{name}.safetensors")
    assert set(table) == {k for k in tensors if k.startswith(("out.", "grad."))}
    assert max(float(error) for error in table.values()) <= 1e-5
    assert lines[-1].startswith(f"{len(table)} tensors, 0 above 1e-05; the largest error is ")


@pytest.mark.parametrize(
    "name",
    [
        "out.hidden.0",
        "out.hidden.1",
        "out.last_hidden_state",
        "out.pair_rep",
        "out.mcm_cosine_loss",
        "out.pdr_mse_loss",
        "grad.pair_head.0.weight",
        "grad.lm_head.2.bias",
        "grad.model.gaussian.means.weight",
        "grad.model.encoder.layers.1.self_attn.k_proj.weight",
        "grad.model.token_type_embeddings.weight",
    ],
)
def test_a_result_that_is_off_is_found(tmp_path, name, capsys):
    def edit(tensors):
        flat = tensors[name].view(-1)
        flat[flat.abs().argmax()] *= 1.0002

    assert main([write(tmp_path / "run.safetensors", edit)]) == 1
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if line.endswith("too large")] == [name]
    assert f"1 above 1e-05; the largest error is 2.0e-04 ({name})" in out


@pytest.mark.parametrize(
    "name", ["state.model.encoder.layers.0.fc2.bias", "in.token_embeddings", "in.pair_labels"]
)
def test_another_input_is_found(tmp_path, name):
    def edit(tensors):
        value = tensors[name]
        tensors[name] = torch.where(value == -100, value, value * 1.001)

    assert main([write(tmp_path / "run.safetensors", edit)]) == 1


def test_nodes_in_any_order_with_padding_among_them(tmp_path, capsys):
    order = torch.randperm(75, generator=torch.Generator().manual_seed(0))

    def edit(tensors):
        for key, value in tensors.items():
            if key.startswith(("in.", "out.")) and value.dim() > 1:
                value = value[:, order]
                square = value.dim() > 2 and value.size(2) == 75
                tensors[key] = value[:, :, order] if square else value
        assert tensors["in.token_types"][1, :20].eq(3).any()

    path = write(tmp_path / "run.safetensors", edit, "se2_post_ln")
    assert main([path]) == 0, capsys.readouterr().out


def test_integers_of_another_type(tmp_path):
    def edit(tensors):
        tensors["in.token_types"] = tensors["in.token_types"].to(torch.int32)

    assert main([write(tmp_path / "run.safetensors", edit)]) == 0


def test_results_of_no_known_name(tmp_path, capsys):
    path = write(tmp_path / "run.safetensors", lambda tensors: tensors.update({"out.x": torch.ones(2)}))
    assert main([path]) == 0
    assert "out.x" in capsys.readouterr().out


@pytest.mark.parametrize(
    "edit, config, message",
    [
        (None, {"activation_fn": "gelo"}, "Unknown activation 'gelo'"),
        (None, {"num_attention_heads": 2}, "must have shape"),
        (lambda t: t.pop("out.pair_rep"), None, "lacks out.pair_rep"),
        (lambda t: t.pop("grad.model.embedding_layer.bias"), None, "lacks grad.model.embedding_layer"),
        (lambda t: t.pop("state.model.embedding_layer.bias"), None, r"missing ['model.embedding_layer"),
        (lambda t: t["in.attn_bias"].__setitem__((0, 5, 6), 7.0), None, "undirected"),
        (lambda t: t.update({"grad.lm_head.0.bias": torch.ones(3)}), None, "shape of its weight"),
    ],
)
def test_malformed_runs(tmp_path, edit, config, message, capsys):
    path = write(tmp_path / "run.safetensors", edit, config=config)
    assert main([path]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith(f"error: {path}: ")
    assert message in captured.err and "Traceback" not in captured.err


def test_no_file_and_no_config(tmp_path, capsys):
    assert main([str(tmp_path / "run.safetensors")]) == 2
    path = write(tmp_path / "run.safetensors")
    (tmp_path / "run.json").unlink()
    assert main([path]) == 2
    assert "run.json" in capsys.readouterr().err
