r"""Part 1 of the check on a GPU: all tests marked `gpu`, one row for each."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks.gpu.part import Part

ROOT = Path(__file__).resolve().parents[2]


class Recorder:
    r"""Keeps a row for each test as soon as it is over, and ends the tests with the time."""

    def __init__(self, part: Part):
        self.part, self.session = part, None

    def pytest_sessionstart(self, session):
        self.session = session

    def pytest_runtest_logreport(self, report):
        skipped = report.when == "setup" and report.skipped
        if report.when != "call" and not skipped and not report.failed:
            return
        values = {"case": report.nodeid.removeprefix("tests/gpu/"), "side": report.outcome}
        values["seconds"] = report.duration
        if skipped and isinstance(report.longrepr, tuple):
            values["note"] = report.longrepr[2]
        elif report.failed:
            values["note"] = str(report.longrepr).splitlines()[-1][:200]
        self.part.row(**values)
        if self.part.left <= 0:
            self.session.shouldstop = "the time of this part is over"


def run(part: Part):
    r"""Runs the tests.

    Raises:
        ValueError: One failed, or there was none.
    """
    os.environ["STOFM_PYG_GPU_TESTS"] = "cpu" if part.smoke else "cuda"
    os.chdir(ROOT)
    options = ["-m", "gpu", "-q", "-p", "no:cacheprovider", "tests/gpu"]
    status = pytest.main(options, plugins=[Recorder(part)])
    if part.left <= 0:
        part.row(case="tests", note="the rest was left out: the time of this part is over")
    elif status != pytest.ExitCode.OK:
        raise ValueError(f"The tests ended with {status!r}; see above")


if __name__ == "__main__":
    sys.exit(Part.main(run))
