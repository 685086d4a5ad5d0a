"""When a leader task is due: pure arithmetic on times, all of them in UTC.

A schedule is a row of times. Of the times that have passed since the last one that was run, only the
newest is due; those before it are missed, and counted. So a task that takes longer than its interval, and
one that nobody could run for a day, is run once and then goes on in its row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim

from holdfast.topology.model import LeaderTaskDecl

MISSED_LIMIT = 1_000
"""How many missed times of a cron expression are counted one by one; more count as so many."""


class Time(NamedTuple):
    """A time that is due.

    Attributes:
        at: the time.
        missed: how many earlier ones passed without a run.
    """

    at: datetime
    missed: int


class Schedule(Protocol):
    """A row of times.

    In all calls `last` is the newest time that was run, None if there is none, and `since` is when the task
    was first declared with this schedule, as far as any leader knows.
    """

    @property
    def text(self) -> str:
        """The schedule as the file says it."""

    def due(self, last: datetime | None, since: datetime, now: datetime) -> Time | None:
        """The newest time that has passed and was not run."""

    def following(self, last: datetime | None, since: datetime) -> datetime | None:
        """The first time after the last one that was run; None if there never is one."""


@dataclass(frozen=True, slots=True)
class Every:
    """At once when first declared, and then in steps of a fixed length from the last time that was run.

    Attributes:
        step: the length.
        text: the schedule as the file says it.
    """

    step: timedelta
    text: str = ""

    def due(self, last: datetime | None, since: datetime, now: datetime) -> Time | None:
        """See `Schedule.due`."""
        first = self.following(last, since)
        if now < first:
            return None
        steps = (now - first) // self.step
        return Time(first + steps * self.step, steps)

    def following(self, last: datetime | None, since: datetime) -> datetime:
        """See `Schedule.following`."""
        return since if last is None else last + self.step


@dataclass(frozen=True, slots=True)
class Cron:
    """At the times that fit a cron expression, from when it was first declared.

    What passed before that was never promised: a new task, or a changed expression, waits for its next time.

    Attributes:
        expression: minute, hour, day of month, month, day of week.
        zone: the name of the time zone that it is meant in.
    """

    expression: str
    zone: str = "UTC"

    @property
    def text(self) -> str:
        """See `Schedule.text`."""
        return f"{self.expression} ({self.zone})"

    def due(self, last: datetime | None, since: datetime, now: datetime) -> Time | None:
        """See `Schedule.due`."""
        passed = list(islice(self._between(_base(last, since), now), MISSED_LIMIT + 1))
        if not passed:
            return None
        newest = passed[-1]
        if len(passed) > MISSED_LIMIT:
            # Backwards, a time at `now` itself is not found.
            newest = next(self._times(now + timedelta(seconds=1), reverse=True))
        return Time(newest, len(passed) - 1)

    def following(self, last: datetime | None, since: datetime) -> datetime | None:
        """See `Schedule.following`."""
        return next(self._times(_base(last, since)), None)

    def _between(self, base: datetime, now: datetime) -> Iterator[datetime]:
        for at in self._times(base):
            if at > now:
                return
            yield at

    def _times(self, base: datetime, *, reverse: bool = False) -> Iterator[datetime]:
        # The library has no special rules of daylight saving for this very object.
        zone = UTC if self.zone == "UTC" else ZoneInfo(self.zone)
        for at in CronSim(self.expression, base.astimezone(zone), reverse=reverse):
            yield at.astimezone(UTC)


def _base(last: datetime | None, since: datetime) -> datetime:
    return since if last is None else max(last, since)


def schedule_of(task: LeaderTaskDecl) -> Schedule:
    """Return the schedule that a task declares."""
    if task.cron is not None:
        return Cron(task.cron, task.timezone)
    assert task.every_ms is not None
    return Every(timedelta(milliseconds=task.every_ms), f"every {duration_text(task.every_ms)}")


def duration_text(milliseconds: int) -> str:
    """A duration as a topology file has it, in its largest whole unit."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"
