"""How many units in a row had to be done again, and when that is one too many."""

from __future__ import annotations

import time

from holdfast.errors import ClusterError, Fenced

FAILED_UNITS = 4
"""A broker that goes away costs one unit, rarely two."""

FENCED_LIMIT = 3
"""Brokers say it once or twice of a worker without a rival: when a coordinator has died, or when others ended
what the worker had open while it was frozen."""

FENCED_WITHIN_S = 60.0
"""Seconds within which it counts: a worker that has nothing to commit for days is not fenced in a row."""

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0


class Setbacks:
    """Counts units that have to be done again; many in a row do not mend themselves.

    Args:
        processor: its name, for messages.
        limit: units that may fail one after the other before the worker ends with the reason; its
            supervisor starts it again after a pause.

    Attributes:
        total: units that were done again, ever.
    """

    def __init__(self, processor: str, limit: int = FAILED_UNITS) -> None:
        self.total = 0
        self._processor = processor
        self._limit = limit
        self._in_a_row = 0
        self._fenced: list[float] = []

    def forget(self) -> None:
        """Records were committed: the row has ended."""
        self._in_a_row = 0
        self._fenced.clear()

    def note(self) -> None:
        """A unit is done again that would not be refused twice in the same way: it is none in a row."""
        self.total += 1

    def count(self, reason: str) -> None:
        """Count a unit; pauses when it was not the first in a row.

        Raises:
            ClusterError: it was one too many.
        """
        self.total += 1
        self._in_a_row += 1
        if self._in_a_row >= self._limit:
            raise ClusterError(
                f"processor {self._processor!r} cannot commit: {reason} ({self._in_a_row} units in a row)"
            )
        _pause(self._in_a_row)

    def count_fenced(self, reason: str) -> None:
        """Count a unit that the brokers refused because we were fenced; pauses as `count` does.

        It is none of the others in a row: that somebody else took over says nothing of whether we can commit.

        Raises:
            Fenced: it was one too many: we have a rival.
        """
        self.total += 1
        now = time.monotonic()
        self._fenced = [*(at for at in self._fenced if now - at < FENCED_WITHIN_S), now]
        if len(self._fenced) >= FENCED_LIMIT:
            raise Fenced(
                f"processor {self._processor!r}: this worker's transactional id was taken over "
                f"{len(self._fenced)} times within {FENCED_WITHIN_S:.0f} s ({reason}). Either another "
                "process runs in the same slot: give each worker its own; or one call of the handler takes "
                "longer than the transaction's timeout."
            )
        _pause(len(self._fenced))


def _pause(number: int) -> None:
    """Wait before the next try, if this was not the first setback."""
    if number > 1:
        time.sleep(min(_FIRST_PAUSE_S * 2**number, _LONGEST_PAUSE_S))
