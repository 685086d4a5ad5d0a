"""How fast a system that was away is given what has waited for it.

A minute's backlog, sent as fast as it can be read, is what takes a system down again that has just come back.
So it begins with the rate that the system had before it went away, and grows from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_UNKNOWN_RATE: Final = 100.0
"""Writes per second at first, when the system was away before it had taken anything."""

_LEVEL_S: Final = 1.0
"""Seconds before the rate begins to grow."""

_GROWTH: Final = 1.25
"""By which it grows each second: a backlog of a minute takes about twelve seconds."""

_LEAST_RATE: Final = 10.0
"""Writes per second at least: a worker hears of its group between them."""

_BURST_S: Final = 0.2
"""What was not used of so many seconds may be used at once."""

_UNUSED_S: Final = 1.0
"""Seconds after which a limit ends that nobody comes up to."""

_WINDOW_S: Final = 1.0
_WEIGHT: Final = 0.3


@dataclass(slots=True)
class _Limit:
    """Writes that may go, since `began`; both times in seconds of the clock.

    Attributes:
        steady: writes per second at first.
        began: when it began.
        at: when `writes` was right.
        writes: that may go now; below 0 when more went than there was room for.
        unused_since: since when more may go than do; None while it is made use of.
    """

    steady: float
    began: float
    at: float
    writes: float = 0.0
    unused_since: float | None = None

    @property
    def rate(self) -> float:
        """Writes per second now."""
        return self.steady * math.pow(_GROWTH, max(self.at - self.began - _LEVEL_S, 0.0))

    def move(self, now: float) -> None:
        """Let time pass."""
        seconds, self.at = now - self.at, now
        self.writes += self.rate * seconds
        most = max(self.rate * _BURST_S, 1.0)
        if self.writes < most:
            self.unused_since = None
            return
        self.writes = most
        if self.unused_since is None:
            self.unused_since = now


class Pace:
    """Measures what a system takes while all is well, and limits the writes after it was away.

    A limit that nobody comes up to has done its work: the backlog is gone, or the system itself is slower. It
    ends then.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._steady: float | None = None
        self._count = 0
        self._since = clock()
        self._limit: _Limit | None = None
        self._is_away = False

    def took(self, writes: int) -> None:
        """The system took so many writes."""
        if self._limit is not None:
            # Of a backlog: that is not its usual rate.
            return
        self._count += writes
        seconds = self._clock() - self._since
        if seconds >= _WINDOW_S:
            rate, steady = self._count / seconds, self._steady
            self._steady = rate if steady is None else steady + _WEIGHT * (rate - steady)
            self._begin_window()

    def away(self) -> None:
        """The system does not answer. What was counted last has silence in it."""
        self._is_away = True
        self._limit = None
        self._begin_window()

    def back(self) -> None:
        """The system answers again: from now on writes are limited, if it had not."""
        if not self._is_away:
            return
        self._is_away = False
        now = self._clock()
        steady = _UNKNOWN_RATE if self._steady is None else max(self._steady, _LEAST_RATE)
        self._limit = _Limit(steady, now, now)

    @property
    def is_on(self) -> bool:
        """Whether writes are limited."""
        return self._limit is not None

    def room(self, waiting: int) -> float:
        """How many writes may go now beside those that wait; infinite while they are not limited."""
        limit = self._limit
        if limit is None:
            return math.inf
        limit.move(self._clock())
        if limit.unused_since is not None and limit.at - limit.unused_since >= _UNUSED_S:
            self._limit = None
            self._begin_window()
            return math.inf
        return max(limit.writes - waiting, 0.0)

    def sent(self, writes: int) -> None:
        """So many writes are on their way. They may be more than there was room for: that is made up for."""
        if self._limit is not None:
            self._limit.writes -= writes

    def _begin_window(self) -> None:
        self._count, self._since = 0, self._clock()
