"""Sliding windows over the outcomes of calls: each adds and forgets in constant time.

The totals are kept up to date by subtracting what leaves the window, as in resilience4j's
`FixedSizeSlidingWindowMetrics` and `SlidingTimeWindowMetrics`; nothing is ever counted again.
"""

from __future__ import annotations

from typing import Protocol


class Window(Protocol):
    """What a breaker asks of a window.

    Attributes:
        calls: how many calls are in the window.
        failed: how many of them failed.
        slow: how many of them were slow, failed or not.
    """

    calls: int
    failed: int
    slow: int

    def add(self, failed: bool, slow: bool, now: float) -> None:
        """Count one call that ended at `now` (seconds)."""

    def add_successes(self, count: int, now: float) -> None:
        """Count `count` calls that ended at `now` (seconds), neither failed nor slow."""

    def advance(self, now: float) -> None:
        """Forget what is too old at `now`."""


class CountWindow:
    """The last `size` calls."""

    __slots__ = ("_at", "_ring", "_size", "calls", "failed", "slow")

    def __init__(self, size: int) -> None:
        self._size = size
        self._ring = bytearray(size)  # bit 0: failed, bit 1: slow
        self._at = 0
        self.calls = self.failed = self.slow = 0

    def add(self, failed: bool, slow: bool, now: float) -> None:  # noqa: ARG002 - only the order counts
        """Count one call in the place of the oldest one."""
        at = self._at
        if self.calls == self._size:
            old = self._ring[at]
            if old:
                self.failed -= old & 1
                self.slow -= old >> 1
        else:
            self.calls += 1
        self._ring[at] = failed | slow << 1
        self.failed += failed
        self.slow += slow
        self._at = at + 1 if at + 1 < self._size else 0

    def add_successes(self, count: int, now: float) -> None:
        """Count `count` calls in the places of the oldest ones."""
        if self.failed or self.slow:
            for _ in range(min(count, self._size)):
                self.add(False, False, now)
        else:  # the ring holds nothing but successes
            self.calls = min(self._size, self.calls + count)
            self._at = (self._at + count) % self._size

    def advance(self, now: float) -> None:
        """Do nothing: calls leave this window only when others come."""


class TimeWindow:
    """The calls of the last `seconds` seconds, in buckets of a whole second of the clock.

    So the youngest bucket is still filling: the window covers between `seconds` - 1 and `seconds`.
    """

    __slots__ = ("_calls", "_failed", "_second", "_seconds", "_slow", "calls", "failed", "slow")

    def __init__(self, seconds: int, now: float) -> None:
        self._seconds = seconds
        self._second = int(now)
        self._calls = [0] * seconds
        self._failed = [0] * seconds
        self._slow = [0] * seconds
        self.calls = self.failed = self.slow = 0

    def add(self, failed: bool, slow: bool, now: float) -> None:
        """Count one call in the bucket of `now`.

        Threads read the clock before they come here one by one: one that comes a little late is counted in
        the youngest bucket.
        """
        if now >= self._second + 1:
            self.advance(now)
        at = self._second % self._seconds
        self._calls[at] += 1
        self.calls += 1
        if failed:
            self._failed[at] += 1
            self.failed += 1
        if slow:
            self._slow[at] += 1
            self.slow += 1

    def add_successes(self, count: int, now: float) -> None:
        """Count `count` calls in the bucket of `now`."""
        self.advance(now)
        self._calls[self._second % self._seconds] += count
        self.calls += count

    def advance(self, now: float) -> None:
        """Forget the buckets that are too old at `now`."""
        second = int(now)
        for passed in range(max(self._second + 1, second - self._seconds + 1), second + 1):
            at = passed % self._seconds
            self.calls -= self._calls[at]
            self.failed -= self._failed[at]
            self.slow -= self._slow[at]
            self._calls[at] = self._failed[at] = self._slow[at] = 0
        self._second = max(self._second, second)
