"""What candidates write to the leader's topic, and what it adds up to.

Two kinds of records. A `Claim` is an election, with the fencing token of the leader that wrote it.
A `Run` is one run of a task; it is written in the same transaction as the task's outputs. Claims have keys of
their own and are kept for ever; of the runs of a task the topic keeps at least the last.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

TOKEN_HEADER = "holdfast-leader-token"  # noqa: S105 - no secret
"""Header of everything that a leader task writes: the token of its leader, in decimal digits."""


CLOCKS_APART = timedelta(minutes=1)
"""How far a recorded time may lie in the future: clocks that are kept by NTP differ by less than a second,
and to wait for a minute is no outage. A time further ahead was written, or is read, by a wrong clock."""


class _Written(BaseModel):
    """Base of the records; a field that a newer version adds is ignored by an older one."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Claim(_Written):
    """A candidate was elected.

    Attributes:
        slot: its slot.
        host: the machine's name.
        pid: its process.
        at: when, by its clock.
        schedules: the tasks that it knows, each with its schedule as text.
        token: its fencing token; None in claims of the first version, whose token is the claim's offset.
    """

    kind: Literal["claim"] = "claim"
    slot: str
    host: str
    pid: int
    at: datetime
    schedules: dict[str, str]
    token: int | None = None


class Run(_Written):
    """A task was run to its end.

    Attributes:
        task: which one.
        token: the leader's fencing token.
        scheduled_at: the time that it was for.
        started_at: when it started.
        ended_at: when the function had returned or raised.
        missed: how many earlier times passed without a run since the one before.
        outputs: how many records it wrote.
        error: why it failed, in one line; None if it did not.
        runs: how many runs there were in all, failed ones included.
        failures: how many of them failed.
        missed_in_all: how many times passed without a run, in all.
    """

    kind: Literal["run"] = "run"
    task: str
    token: int
    scheduled_at: datetime
    started_at: datetime
    ended_at: datetime
    missed: int = 0
    outputs: int = 0
    error: str | None = None
    runs: int = 1
    failures: int = 0
    missed_in_all: int = 0


class Election(NamedTuple):
    """A claim with its token."""

    token: int
    claim: Claim


class LogRecord(NamedTuple):
    """A record of the leader's topic.

    Attributes:
        offset: its offset.
        value: its bytes.
    """

    offset: int
    value: bytes | None


_RECORD: TypeAdapter[Claim | Run] = TypeAdapter(Annotated[Claim | Run, Field(discriminator="kind")])


def row_of(written: Claim | Run) -> tuple[bytes, bytes]:
    """Return a record's key and value."""
    key = f"claim/{uuid.uuid4().hex}" if isinstance(written, Claim) else f"run/{written.task}"
    return key.encode(), written.model_dump_json().encode()


class History(NamedTuple):
    """What the leader's topic says.

    Attributes:
        elections: all of them, oldest first.
        runs: the last run of each task.
        since: for each task that the last leader knew, since when it is declared with its present
            schedule without a break, as far as any leader saw.
        unreadable: how many records nobody can read; a newer version wrote them, or a stranger.
        end: the offset behind the last record.
    """

    elections: tuple[Election, ...] = ()
    runs: Mapping[str, Run] = {}
    since: Mapping[str, datetime] = {}
    unreadable: int = 0
    end: int = 0

    @property
    def leader(self) -> Election | None:
        """The election of the present leader, or of the last one."""
        return self.elections[-1] if self.elections else None

    def next_token(self, now: datetime) -> int:
        """The token of a leader that is elected after all of this, by its clock.

        Larger than every token that is recorded, and the time of day in milliseconds where that is more: if
        the topic is deleted, and all of this with it, tokens go on from where no system outside has seen one.
        """
        seen = [*(it.token for it in self.elections), *(it.token for it in self.runs.values())]
        return max([*(token + 1 for token in seen), milliseconds(now)])


def fold(records: Iterable[LogRecord]) -> History:
    """Add up the records of the leader's topic, which come in order."""
    elections: list[Election] = []
    runs: dict[str, Run] = {}
    since: dict[str, tuple[str, datetime]] = {}
    unreadable = end = 0
    for offset, value in records:
        end = offset + 1
        written = _read(value)
        if isinstance(written, Claim):
            elections.append(Election(offset if written.token is None else written.token, written))
            since = {name: _since(since.get(name), text, written) for name, text in written.schedules.items()}
        elif isinstance(written, Run):
            runs[written.task] = written
        else:
            unreadable += 1
    return History(tuple(elections), runs, {name: at for name, (_, at) in since.items()}, unreadable, end)


def _since(known: tuple[str, datetime] | None, text: str, claim: Claim) -> tuple[str, datetime]:
    is_known = known is not None and known[0] == text and not is_ahead(known[1], claim.at)
    return known if known is not None and is_known else (text, claim.at)


def _read(value: bytes | None) -> Claim | Run | None:
    try:
        return _RECORD.validate_json(value or b"")
    except ValidationError:
        return None


def is_ahead(at: datetime, now: datetime) -> bool:
    """Whether a recorded time lies further in the future than clocks may differ."""
    return at > now + CLOCKS_APART


def utc(timestamp: float) -> datetime:
    """Return a clock's reading as a time, in whole milliseconds."""
    return datetime.fromtimestamp(round(timestamp, 3), UTC)


def milliseconds(at: datetime) -> int:
    """Return a time in milliseconds since the epoch."""
    return round(at.timestamp() * 1000)


def ended(before: Run | None, run: Run) -> Run:
    """Return a run with what its task counted before added to it."""
    counts: dict[str, Any] = {
        "runs": 1 + (before.runs if before else 0),
        "failures": (run.error is not None) + (before.failures if before else 0),
        "missed_in_all": run.missed + (before.missed_in_all if before else 0),
    }
    return run.model_copy(update=counts)
