"""A command that cleans up ends in order when it is asked once, and at once when it is asked twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from holdfast.cli.orderly_end import orderly_once

PROGRAM = """
import sys, time
from holdfast.cli.orderly_end import orderly_once
try:
    with orderly_once({within}):
        try:
            print("ready", flush=True)
            time.sleep(30)
        finally:
            print("cleaning", flush=True)
            time.sleep({cleaning})
            print("clean", flush=True)
except KeyboardInterrupt:
    sys.exit(7)
"""


def started(*, within: float, cleaning: float) -> subprocess.Popen[str]:
    """A program that waits to be ended, and then cleans up."""
    program = PROGRAM.format(within=within, cleaning=cleaning)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_is_asked_once_and_cleans_up(number: signal.Signals) -> None:
    process = started(within=30, cleaning=0)
    process.send_signal(number)
    said, complaint = process.communicate(timeout=20)
    assert process.returncode == 7
    assert said == "cleaning\nclean\n"
    assert complaint.strip() == "Ending in order: what was broken is undone. Ask again to end at once."


def test_it_is_asked_twice_and_is_gone() -> None:
    process = started(within=30, cleaning=30)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline() == "cleaning\n"
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=20)
    assert time.monotonic() - asked < 5
    assert process.returncode == 130
    assert "Asked again. Ended at once; what is left is undone by its guard." in complaint


def test_cleaning_up_that_hangs_is_given_up() -> None:
    process = started(within=0.5, cleaning=30)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "The end in order took more than 0.5 s. Ended at once" in complaint


def test_who_cleans_up_can_tell_that_it_was_asked_whatever_takes_the_place_of_the_interrupt() -> None:
    """A step of the end that fails raises its own error."""
    with pytest.raises(OSError, match="a disk hangs"), orderly_once(30) as asked:  # noqa: PT012
        assert not asked.is_set()
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            raise OSError("a disk hangs")
    assert asked.is_set()
