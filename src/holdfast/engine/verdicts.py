"""What was found out about records after they were handled, for when they come again.

An output is refused, or an async handler fails, when its unit is on its way: the shard goes back then. While
there is no verdict, the hot loop runs as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.engine.step import Run, stopping


class Verdicts:
    """Verdicts on a shard's records, each by topic and offset, until they are behind its last commit."""

    def __init__(self) -> None:
        self._causes: dict[tuple[str, int], Exception] = {}
        self._times: dict[tuple[str, int], int] = {}

    def condemn(self, topic: str, offset: int, cause: Exception) -> None:
        """Have a record fail with `cause`, without its handler."""
        self._causes[topic, offset] = cause

    def is_condemned(self, topic: str, offset: int) -> bool:
        """Whether a record fails without its handler."""
        return (topic, offset) in self._causes

    def date(self, topic: str, offset: int, time: int) -> None:
        """Have the dead letter of a record, should it get one, carry another time.

        Args:
            topic: of the record.
            offset: of the record.
            time: milliseconds since the epoch.
        """
        self._times[topic, offset] = time

    def time_of(self, topic: str, offset: int) -> int | None:
        """The time that a record's dead letter is to carry; None if it is the record's own."""
        return self._times.get((topic, offset))

    def guard(self, topic: str, run: Run) -> Run:
        """The loop for an input that stops at condemned records as if their handler had raised."""
        if not any(of == topic for of, _ in self._causes):
            return run
        return stopping(run, lambda message: self._causes.get((topic, message.offset())))

    def forget(self, committed: Mapping[str, int]) -> None:
        """Forget what is behind the last commit: these records do not come again."""
        for place in [it for it in (*self._causes, *self._times) if it[1] < committed.get(it[0], 0)]:
            self._causes.pop(place, None)
            self._times.pop(place, None)
