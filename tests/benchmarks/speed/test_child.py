import pytest
import torch

from benchmarks.speed.child import is_out_of_memory, run_in_child


@pytest.fixture
def script(tmp_path):
    def write(text):
        path = tmp_path / "script.py"
        path.write_text("import json, os, signal, sys, time\n" + text)
        return str(path)

    return write


def test_the_last_line_is_the_answer(script):
    path = script("print('warming up')\nprint(json.dumps({'args': sys.argv[1:]}))")
    assert run_in_child(path, ["--child", "forward", "12"]) == {"args": ["--child", "forward", "12"]}


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("raise ValueError('too many cells')", "failed (ValueError: too many cells)"),
        ("sys.exit(3)", "failed (exit status 3)"),
        ("print('no JSON')", "failed (exit status 0)"),
        ("print(json.dumps([1]))", "failed (exit status 0)"),
        ("print(json.dumps({'peak_mib': 1})); sys.exit(2)", "failed (exit status 2)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "out of memory (killed)"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "failed (exit status -11)"),
    ],
)
def test_a_failure_is_a_note(script, text, note):
    assert run_in_child(script(text), []) == {"note": note}


def test_a_run_that_takes_too_long_is_stopped(script):
    assert run_in_child(script("time.sleep(60)"), [], timeout=0.3) == {"note": "took longer than 0 s"}


def test_which_errors_are_of_memory():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**60)
    assert is_out_of_memory(error.value)
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(ValueError("out of memory"))
