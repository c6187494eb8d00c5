import signal
import sys
import time

import pytest

from benchmarks.interrupted_run import reached, run_until

# Two bars of five steps each, as tqdm draws them; SIGTERM ends it after the step, with code 143.
SCRIPT = """
import signal, sys, time
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
for name in ("first", "second"):
    for step in range(6):
        sys.stderr.write(f"\\r{name}:  {20 * step}%|##  | {step}/5 [00:00<00:00, loss=0.5]")
        sys.stderr.flush()
        time.sleep(0.02)
        if told:
            sys.exit(143)
    sys.stderr.write("\\nsome other line: 3/4\\n")
"""
COMMAND = [sys.executable, "-c", SCRIPT]
BARS = ("first", "second")


def test_to_the_end():
    outcome = run_until(COMMAND)
    assert outcome.code == 0 and outcome.signalled is None
    assert outcome.steps == {"first": (0, 5), "second": (0, 5)}
    assert outcome.totals == {"first": 5, "second": 5}


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143)]
)
def test_signal_at_a_step(number, code):
    outcome = run_until(COMMAND, ("second", 2), number, bars=BARS)
    assert outcome.code == code
    assert outcome.signalled[0] == "second" and outcome.signalled[1] in (2, 3)
    assert outcome.steps["first"] == (0, 5)


def test_a_stage_that_is_over():
    # It would have come at a step that the run, having gone on after it, does not show.
    outcome = run_until(COMMAND, ("first", 6), signal.SIGKILL, bars=BARS)
    assert outcome.code == -signal.SIGKILL and outcome.signalled == ("second", 0)


def test_a_step_that_never_comes():
    outcome = run_until(COMMAND, ("second", 6), signal.SIGKILL, bars=BARS)
    assert outcome.code == 0 and outcome.signalled is None


def test_children_get_the_signal():
    script = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "sys.stderr.write('first: 10%|# | 1/5 ['); sys.stderr.flush(); child.wait()"
    )
    start = time.monotonic()
    outcome = run_until([sys.executable, "-c", script], ("first", 1), bars=BARS)
    assert outcome.code == -signal.SIGKILL
    assert time.monotonic() - start < 30  # The child holds the pipe open while it lives.


def test_errors_are_kept():
    outcome = run_until([sys.executable, "-c", "raise KeyError('what was wrong')"])
    assert outcome.code == 1 and "what was wrong" in outcome.errors and not outcome.steps


@pytest.mark.parametrize(
    ("now", "at", "expected"),
    [
        (("first", 3), ("first", 3), True),
        (("first", 4), ("first", 3), True),
        (("first", 2), ("first", 3), False),
        (("second", 0), ("first", 3), True),
        (("first", 5), ("second", 1), False),
        (("encode", 9), ("second", 1), False),
        (("encode", 9), ("first", 1), False),
    ],
)
def test_reached(now, at, expected):
    assert reached(now, at, BARS) is expected
