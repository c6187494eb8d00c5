import json

import pytest
import torch

from benchmarks import run
from stofm_pyg.models import SToFM
from stofm_pyg.nn import SliceEncoder
from stofm_pyg.nn.conv_resolver import find_conv
from stofm_pyg.train import PRESETS, PretrainConfig
from tests.examples.examples_case import EXAMPLES, run_example
from tests.models.fit_case import CONFIG, make_tissue

NAME = f"{EXAMPLES / 'my_conv.py'}:RadialConv"


@pytest.fixture(autouse=True)
def example_folder(monkeypatch):
    """What the file itself imports from beside it."""
    monkeypatch.syspath_prepend(str(EXAMPLES))


def test_the_layer_is_a_weighted_mean_of_neighbours():
    conv = find_conv(NAME)(4, 3, edge_dim=2)
    x, edge_index = torch.randn(3, 4), torch.tensor([[1, 2, 0], [0, 0, 1]])
    edge_attr = torch.randn(3, 2)
    near, weight = conv.lin_near(x), conv.weight(edge_attr)
    want = conv.lin_self(x)
    want = want + torch.stack([
        (weight[0] * near[1] + weight[1] * near[2]) / 2, weight[2] * near[0], torch.zeros(3)
    ])  # fmt: skip
    torch.testing.assert_close(conv(x, edge_index, edge_attr), want)


def test_it_takes_the_place_of_the_layer(tmp_path):
    encoder = SliceEncoder(5, 8, num_layers=2, conv=NAME, heads=2, num_gaussians=4)
    assert [type(block.conv.conv).__name__ for block in encoder.blocks] == ["RadialConv"] * 2
    model = SToFM(5, 8, 1, conv=NAME, heads=2, num_gaussians=4)
    model.save_pretrained(tmp_path)
    again = SToFM.from_pretrained(tmp_path)
    for (key, one), (_, two) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert torch.equal(one, two), key


def test_the_example_compares_it(capsys):
    result = run_example("my_conv", "--epochs", "1")
    assert list(result) == ["SE2TransformerConv", "RadialConv"]
    assert all(0.15 < value <= 1.0 for value in result.values())
    assert f"macro-F1 {result['RadialConv']:.3f}" in capsys.readouterr().out


def test_it_is_a_row_of_the_benchmark(tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", PretrainConfig.from_dict(CONFIG))
    make_tissue().write_h5ad(tmp_path / "tissue.h5ad")
    args = ["--task", "segmentation", "--preset", "tiny", "--method", "stofm,untrained", "--runs", "1"]
    args += ["--data", str(tmp_path / "tissue.h5ad"), "--out", str(tmp_path / "out")]
    assert run.main([*args, "--conv", NAME]) == 0
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["summary"]
    assert list(rows) == ["stofm", "stofm (RadialConv)", "untrained", "untrained (RadialConv)"]
    one, other = rows["stofm"], rows["stofm (RadialConv)"]
    assert one["parameters"] != other["parameters"] and other["ms_per_step"] > 0
    assert other["learned"]["pairs"] == 2 and other["macro_f1"] != one["macro_f1"]
