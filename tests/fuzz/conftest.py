import pytest

from tests.fuzz.profile import PROFILE, refused, tried


def pytest_sessionfinish(session):
    """Lets a worker hand on what it counted."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["counts"] = dict(tried), dict(refused)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Adds up what workers counted."""
    for counts, own in zip((tried, refused), node.workeroutput.get("counts", ()), strict=False):
        counts.update(own)


def pytest_terminal_summary(terminalreporter):
    """Prints how many examples were tried, and what was found."""
    if not tried:
        return
    failed = len(terminalreporter.stats.get("failed", ()))
    write = terminalreporter.write_line
    for name in sorted(tried):
        told = f", {refused[name]:,} refused in a sentence" if refused[name] else ""
        write(f"{tried[name]:7,} {name}{told}")
    write(
        f"{sum(tried.values()):7,} examples of {len(tried)} properties ({PROFILE}): "
        f"{failed or 'no'} properties failed"
    )
