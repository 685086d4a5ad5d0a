"""Clocks of leaders that disagree: which of the recorded times are believed, and what is said of the others.

Times are those of the leader that was elected, by its own clock. If one was wrong for a while, its last runs
lie in the future of all who come after it. They do not wait for such a time: a task with an interval would
not be run until then, which may be a year. They go on by their own clocks, and say so.

Pure; reads no clock.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from holdfast.engine.leader_log import History, Run, is_ahead


class Begin(NamedTuple):
    """From where a task's row of times is continued.

    Attributes:
        last: the newest time that was run; None if there is none, or none that is believed.
        since: when the task was first declared with this schedule, or from when on the present clock counts.
    """

    last: datetime | None
    since: datetime


def believed(last: datetime | None, since: datetime, now: datetime, noticed: datetime) -> Begin | None:
    """Return from where a leader goes on by its own clock; None if nothing that is recorded is ahead of it.

    Args:
        last: the newest time that was run, as recorded.
        since: when the task was first declared, as recorded.
        now: the present time, by that clock.
        noticed: when it was first seen that one of them is ahead; not after `now`.
    """
    if last is not None and is_ahead(last, now):
        return Begin(None, noticed)
    return Begin(last, noticed) if is_ahead(since, now) else None


def why_ahead(run: Run | None, history: History, now: datetime) -> str | None:
    """Say what is wrong when a task's last run lies in the future; None if it does not.

    Args:
        run: the last run of the task.
        history: tells who ran it.
        now: the present time, by the clock of whoever asks.
    """
    if run is None or not is_ahead(run.scheduled_at, now):
        return None
    ahead = timedelta(seconds=int((run.scheduled_at - now).total_seconds()))
    by = next((it.claim for it in history.elections if it.token == run.token), None)
    who = "a leader that is not known any more ran it"
    if by is not None:
        who = f"{by.slot} on host {by.host} ran it, elected at {_time(by.at)} by its own clock"
    return (
        f"its last run is recorded for {_time(run.scheduled_at)}, {ahead} ahead of this clock "
        f"({_time(now)}); {who}. One of the two clocks is wrong: set both (NTP). The task goes on by the "
        "clock of whoever leads, and does not wait; times that were run ahead may be run once more"
    )


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
