import json
import subprocess
import sys

import pytest
import torch

from benchmarks.speed import memory
from benchmarks.speed.memory import MIB, available_memory, measure_peak


def hold(mib):
    return torch.ones(mib * MIB // 4)


@pytest.mark.skipif(not memory.CLEAR_REFS.exists(), reason="needs Linux's high-water mark")
def test_the_peak_above_what_is_held_already():
    held = hold(64)
    gone = hold(300)
    del gone  # A higher mark of earlier does not count.

    def call():
        first = hold(100)
        del first
        return hold(60)

    out = measure_peak(call)
    assert out["memory"] == "rss"
    assert out["peak_mib"] == pytest.approx(100, abs=8)
    assert out["seconds"] > 0
    assert held[0] == 1


def test_without_a_mark_that_can_be_reset(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CLEAR_REFS", tmp_path / "missing" / "clear_refs")
    monkeypatch.setattr(memory, "_max_resident", lambda: memory._status("VmRSS") + 7 * MIB)
    out = measure_peak(lambda: None)
    assert out["memory"] == "maxrss"
    assert out["peak_mib"] == pytest.approx(7, abs=1)


def test_available_memory_is_less_than_all():
    free = available_memory()
    assert free is None or MIB < free < 2**50


SCRIPT = """
import json, resource, sys
sys.path.insert(0, {root!r})
sys.modules["torch"] = type(sys)("torch")  # Slow to import and not needed here.
sys.modules["torch"].device = None
from benchmarks.speed.memory import limit_memory
limit_memory(200 * 2**20)
small = bytearray(100 * 2**20)
try:
    bytearray(150 * 2**20)
except MemoryError:
    print(json.dumps({{"small": len(small)}}))
"""


@pytest.mark.skipif(not memory.STATUS.exists(), reason="needs Linux")
def test_a_limit_is_an_error_instead_of_a_kill():
    root = str(memory.Path(memory.__file__).parents[2])
    code = SCRIPT.format(root=root)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"small": 100 * MIB}
