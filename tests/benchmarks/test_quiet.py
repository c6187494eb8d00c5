import logging

import pytest

from benchmarks.quiet import quiet


def test_errors_alone_and_as_before_afterwards(caplog):
    logger = logging.getLogger("tests.quiet")
    with pytest.raises(RuntimeError), quiet("tests.quiet"):
        logger.warning("unheard")
        logger.error("heard")
        raise RuntimeError
    logger.warning("again")
    assert caplog.messages == ["heard", "again"] and logger.level == logging.NOTSET
