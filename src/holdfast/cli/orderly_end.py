"""Commands that have to clean up, however they are asked to end."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from holdfast.cli.console import INTERRUPTED

_SHOW_CURSOR = "\x1b[?25h"
"""A display that is redrawn hides it, and is not ended in order here."""


@contextmanager
def orderly_signals() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end a command in the same order as Ctrl-C."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def orderly_once(within: float) -> Iterator[threading.Event]:
    """Let the first of Ctrl-C, SIGTERM and a closed terminal end a command in order, a second one at once.

    For commands that others clean up after when they are gone, such as the guard of a chaos run. What is done
    in order may hang in the system for ever; so it ends at once, too, when its time is over.

    Args:
        within: seconds for an end in order.

    Yields:
        Whether it was asked for. Whatever is raised by a step of the end in order takes the place of the
        KeyboardInterrupt, so only this tells.
    """
    asked = threading.Event()
    patience = threading.Timer(within, _end_at_once, (f"The end in order took more than {within:g} s.",))
    patience.daemon = True

    def end(_number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            _end_at_once("Asked again.")
        asked.set()
        patience.start()
        _say("Ending in order: what was broken is undone. Ask again to end at once.")
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield asked
    finally:
        patience.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_at_once(why: str) -> None:
    """End the process without another step of its own."""
    cursor = _SHOW_CURSOR if sys.stderr.isatty() else ""
    _say(f"{cursor}{why} Ended at once; what is left is undone by its guard.")
    os._exit(INTERRUPTED)


def _say(text: str) -> None:
    # Not through a console: the main thread may be in the midst of writing to it.
    os.write(2, f"\n{text}\n".encode())
