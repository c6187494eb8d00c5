import json

import pytest
import torch
from safetensors.torch import load_file

from stofm_pyg.models import SToFM
from stofm_pyg.train import MaskedCellModelling, PairwiseDistanceRecovery
from tests.golden_case import GoldenCase, largest_error, run_encoder
from tools.convert_official import main


@pytest.fixture
def official(tmp_path):
    """A directory as the authors publish it, with weights from pre-training."""
    case = GoldenCase("se2_pre_ln")
    (tmp_path / "config.json").write_text(json.dumps(case.config))
    torch.save(case.part("state."), tmp_path / "pretrained.pth")
    torch.save(case.part("state.model."), tmp_path / "se2transformer.pth")
    return tmp_path


def convert(official, weights):
    out = official / "ours"
    return main([str(official), str(official / weights), "--out", str(out)]), out


@pytest.mark.parametrize("weights", ["se2transformer.pth", "pretrained.pth"])
def test_what_is_written_is_the_official_model(official, weights, capsys):
    status, out = convert(official, weights)
    assert status == 0
    names = ["config.json", "model.safetensors"]
    names += ["heads.safetensors"] if weights == "pretrained.pth" else []
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    printed = capsys.readouterr().out
    assert "none missing, none left over" in printed and f"wrote {', '.join(names)}" in printed
    assert ("heads: mcm, pdr" if len(names) == 3 else "heads: none") in printed

    case, model = GoldenCase("se2_pre_ln"), SToFM.from_pretrained(out).eval()
    assert model.graph == "official"
    with torch.no_grad():
        output = run_encoder(model.encoder, case.batch())
    assert largest_error(output.x, case.nodes("out.last_hidden_state")) <= 1e-5


def test_pretraining_goes_on_from_the_heads(official):
    _, out = convert(official, "pretrained.pth")
    objectives = torch.nn.ModuleDict(
        {"mcm": MaskedCellModelling(24, 24, loss="cosine"), "pdr": PairwiseDistanceRecovery(3)}
    )
    objectives.load_state_dict(load_file(out / "heads.safetensors"))
    case, model = GoldenCase("se2_pre_ln"), SToFM.from_pretrained(out).eval()
    batch = case.batch()
    with torch.no_grad():
        output = run_encoder(model.encoder, batch)
        losses = {name: objective(output, batch) for name, objective in objectives.items()}
    assert largest_error(losses["mcm"], case.tensors["out.mcm_cosine_loss"]) <= 1e-5
    assert largest_error(losses["pdr"], case.tensors["out.pdr_mse_loss"]) <= 1e-5


def test_errors_are_said_without_a_traceback(official, capsys):
    assert convert(official, "none.pth") == (2, official / "ours")
    (official / "bad.pth").write_bytes(b"no weights")
    assert convert(official, "bad.pth")[0] == 2
    config = json.loads((official / "config.json").read_text())
    (official / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    assert convert(official, "se2transformer.pth")[0] == 2
    (official / "config.json").write_text("{")
    assert convert(official, "se2transformer.pth")[0] == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("error: ") == 4
    for words in ("none.pth", "could not be read", "layers.2.fc1.bias", "not a JSON file"):
        assert words in captured.err
    assert not (official / "ours").exists()
