import json

import torch
from safetensors.torch import save_file
from torch.utils.tensorboard import SummaryWriter

from benchmarks.kills.content import broken, content


def test_what_is_compared(tmp_path):
    with SummaryWriter(str(tmp_path / "tensorboard" / "stage_1")) as writer:
        for step, value in ((1, 0.5), (2, float("nan"))):
            writer.add_scalar("train/loss", value, step)
            writer.add_scalar("train/cells_per_second", value, step)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / ".saving-0a").mkdir()
    for name in ("checkpoints/step-1.pt", "model.bin", ".model.tmp", ".saving-0a/x", "results.md"):
        (tmp_path / name).write_text("")
    found = content(tmp_path)
    assert found.pop("stage_1/train/loss") == [(1, "0.5"), (2, "nan")]
    assert list(found) == ["model.bin"]


def test_the_clock_is_left_out(tmp_path):
    found = []
    for seconds, score in ((1.0, 3), (2.0, 3), (2.0, 4)):
        rows = [{"seconds": {"fit": seconds}, "peak_mib": seconds, "score": score}]
        (tmp_path / "a.json").write_text(json.dumps({"rows": rows, "checksum": str(seconds)}))
        found.append(content(tmp_path)["a.json"])
    assert found[0] == found[1] != found[2]


def test_what_is_not_whole(tmp_path):
    (tmp_path / "good.json").write_text("{}")
    save_file({"x": torch.zeros(3)}, tmp_path / "good.safetensors")
    torch.save({"x": torch.zeros(3)}, tmp_path / "good.pt")
    assert broken(tmp_path) == []
    for name in ("good.json", "good.safetensors", "good.pt"):
        raw = (tmp_path / name).read_bytes()
        (tmp_path / name.replace("good", "cut")).write_bytes(raw[: len(raw) // 2])
    (tmp_path / "cut.h5ad").write_bytes(b"\x89HDF")
    (tmp_path / ".a.json.tmp").write_text("{")
    names = [line.partition(":")[0] for line in broken(tmp_path)]
    assert names == ["cut.h5ad", "cut.json", "cut.pt", "cut.safetensors"]
