"""What a leader has to do, and when: its tasks, what was run, what runs now. Pure; it reads no clock."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from holdfast.engine.leader_clock import Begin, believed, why_ahead
from holdfast.engine.leader_log import Claim, Election, History, Run, ended, is_ahead
from holdfast.engine.schedule import Schedule


class Due(NamedTuple):
    """A run that is to be started.

    Attributes:
        task: which task.
        at: the time that it is for.
        missed: how many earlier times passed without a run.
    """

    task: str
    at: datetime
    missed: int


class Agenda:
    """The tasks of a leader.

    Args:
        schedules: the schedule of each task.
        history: what the leader's topic said when the leader was elected.
        claim: the leader's own claim.
    """

    def __init__(self, schedules: Mapping[str, Schedule], history: History, claim: Claim) -> None:
        self._schedules = schedules
        self._runs = {name: run for name, run in history.runs.items() if name in schedules}
        self._since = since(history, claim)
        own = () if claim.token is None else (Election(claim.token, claim),)
        self._history = history._replace(elections=(*history.elections, *own))
        self._noticed: dict[str, datetime] = {}

    def due(self, now: datetime, running: Collection[str]) -> Iterator[Due]:
        """Yield the runs that are due; a task that runs is not, whatever it misses meanwhile."""
        for name, schedule in self._schedules.items():
            if name in running:
                continue
            time = schedule.due(*self._begin(name, now), now)
            if time is not None:
                yield Due(name, *time)

    def wait(self, now: datetime, running: Collection[str]) -> float | None:
        """Seconds until something is due; None if nothing will be before a running task has ended."""
        times = [
            at
            for name, schedule in self._schedules.items()
            if name not in running and (at := schedule.following(*self._begin(name, now)))
        ]
        return max((min(times) - now).total_seconds(), 0.0) if times else None

    def total(self, run: Run) -> Run:
        """Return a run with what its task counted before added to it."""
        return ended(self._runs.get(run.task), run)

    def note(self, run: Run) -> None:
        """Take a run as done: it was committed."""
        self._runs[run.task] = run

    @property
    def failing(self) -> tuple[str, ...]:
        """The tasks whose last run failed."""
        return tuple(name for name, run in self._runs.items() if run.error is not None)

    def ahead(self, now: datetime) -> dict[str, str]:
        """The tasks whose last run lies in the future, each with what is wrong in words."""
        found = {name: why_ahead(run, self._history, now) for name, run in self._runs.items()}
        return {name: why for name, why in found.items() if why}

    def _begin(self, name: str, now: datetime) -> Begin:
        run = self._runs.get(name)
        last, since_ = run.scheduled_at if run else None, self._since[name]
        noticed = min(self._noticed.get(name, now), now)
        own = believed(last, since_, now, noticed)
        if own is None:
            self._noticed.pop(name, None)
            return Begin(last, since_)
        self._noticed[name] = noticed
        return own


def since(history: History, claim: Claim) -> dict[str, datetime]:
    """For each task of a new leader, since when it is declared as it is now, its own claim included."""
    last = history.leader.claim.schedules if history.leader else {}
    known = {name: at for name, at in history.since.items() if not is_ahead(at, claim.at)}
    return {
        name: known.get(name, claim.at) if last.get(name) == text else claim.at
        for name, text in claim.schedules.items()
    }
