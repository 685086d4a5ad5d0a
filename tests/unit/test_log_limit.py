"""The same line is said a few times and then counted."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from holdfast.log_limit import LogLimit
from tests.unit.runtime.kit import wait_until


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """Give a logger of the test's own."""
    made = logging.getLogger("tests.log_limit")
    yield made
    made.filters.clear()


def test_lines_of_a_kind_are_counted_after_the_first_and_the_count_is_told(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """With one of those that were left out; another kind has its own count."""
    logger.addFilter(LogLimit(logger, lambda record: record.msg, most=2, seconds=0.3))
    for n in range(1_000):
        logger.warning("refused %d", n)
    logger.warning("timed out")
    assert caplog.messages == ["refused 0", "refused 1", "timed out"]
    wait_until(lambda: len(caplog.messages) == 4)
    assert caplog.messages[3] == "998 more like this were left out: refused 2"


def test_lines_that_a_handler_may_drop_are_not_counted(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """A logger may let all through to handlers with levels of their own; a count must not tell of it."""
    caplog.set_level(logging.DEBUG, logger.name)
    limit = LogLimit(logger, lambda record: record.msg, most=1, seconds=60)
    logger.addFilter(limit)
    for level in (logging.DEBUG, logging.ERROR):
        for _ in range(3):
            logger.log(level, "line")
    limit.tell(all_of_them=True)
    assert [r.levelname for r in caplog.records] == ["DEBUG"] * 3 + ["ERROR"] * 2
    assert caplog.messages[-1] == "2 more like this were left out: line"


def test_after_its_time_a_line_is_said_again(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault that lasts is not forgotten."""
    logger.addFilter(LogLimit(logger, lambda record: record.msg, most=1, seconds=0.02))

    def said_three_times() -> bool:
        logger.warning("refused")
        return caplog.messages.count("refused") == 3

    wait_until(said_three_times)


def test_kinds_without_number_do_not_fill_the_memory(logger: logging.Logger) -> None:
    """What cannot be told apart any more shares one kind."""
    limit = LogLimit(logger, lambda record: record.getMessage(), most=1, seconds=60)
    logger.addFilter(limit)
    for n in range(2_000):
        logger.warning("line %d", n)
    assert len(limit._windows) <= 1_001
    limit._windows.clear()


def test_the_count_is_told_when_the_process_ends() -> None:
    """However long its time would still be."""
    program = """
import logging
from holdfast.log_limit import LogLimit
logging.basicConfig(format="%(message)s")
log = logging.getLogger("x")
log.addFilter(LogLimit(log, lambda record: record.msg, most=1, seconds=60))
for _ in range(5):
    log.warning("refused")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["refused", "4 more like this were left out: refused"]
