"""Limits how often a log says the same: a client without brokers writes a thousand lines a second.

Knows nothing of the library, so that every layer may use it.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_SUMMARY: Final = "is_summary"
_MOST_KINDS: Final = 1_000
"""Kinds that are remembered; more of them at a time share one."""


@dataclass(slots=True)
class _Window:
    """A kind of line, since it was first said lately."""

    began: float
    said: int = 0
    left_out: int = 0
    example: str = ""
    level: int = logging.WARNING


class LogLimit(logging.Filter):
    """Lets the first lines of a kind through, then counts; the count is told when the time is over.

    Add it to a logger. The count is also told when the process ends. Lines below WARNING are left alone: a
    handler may still drop them, and who asked for them wants all of them.

    Args:
        logger: the logger that it is added to, which says the counts.
        kind: which lines are alike.
        most: lines of a kind that are let through in `seconds`.
        seconds: how long lines are counted.
    """

    def __init__(
        self, logger: logging.Logger, kind: Callable[[logging.LogRecord], str], *, most: int, seconds: float
    ) -> None:
        super().__init__()
        self._logger = logger
        self._kind = kind
        self._most = most
        self._seconds = seconds
        self._windows: dict[str, _Window] = {}
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        atexit.register(self.tell, all_of_them=True)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is said now."""
        if record.levelno < logging.WARNING or hasattr(record, _SUMMARY):
            return True
        kind, now = self._kind(record), time.monotonic()
        with self._lock:
            window = self._window(kind, now)
            if window.said < self._most:
                window.said += 1
                return True
            window.left_out += 1
            if window.left_out == 1:
                window.example, window.level = record.getMessage(), record.levelno
            self._tell_later(window.began + self._seconds - now)
        return False

    def tell(self, *, all_of_them: bool = False) -> None:
        """Say how many lines were left out, of the kinds whose time is over."""
        now = time.monotonic()
        with self._lock:
            self._timer = None
            over = {k: w for k, w in self._windows.items() if all_of_them or self._is_over(w, now)}
            for kind in over:
                del self._windows[kind]
            counted = [w.began for w in self._windows.values() if w.left_out]
            if counted:
                self._tell_later(min(counted) + self._seconds - now)
        for window in over.values():
            if window.left_out:
                self._logger.log(
                    window.level,
                    "%d more like this were left out: %s",
                    window.left_out,
                    window.example,
                    extra={_SUMMARY: True},
                )

    def _window(self, kind: str, now: float) -> _Window:
        """The time in which lines of a kind are counted; one without left out lines may be replaced."""
        if len(self._windows) >= _MOST_KINDS and kind not in self._windows:
            silent = [k for k, w in self._windows.items() if self._is_over(w, now) and not w.left_out]
            for old in silent:
                del self._windows[old]
            kind = kind if silent else ""
        window = self._windows.get(kind)
        if window is None or (self._is_over(window, now) and not window.left_out):
            window = self._windows[kind] = _Window(now)
        return window

    def _is_over(self, window: _Window, now: float) -> bool:
        return now >= window.began + self._seconds

    def _tell_later(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = threading.Timer(max(seconds, 0.0) + 0.01, self.tell)
            self._timer.daemon = True
            self._timer.start()
