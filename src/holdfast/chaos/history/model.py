"""What a history is made of: operations of processes, in steps on logs.

The model is that of Jepsen's workload for Kafka (jepsen-io/jepsen, jepsen/src/jepsen/tests/kafka.clj): a
log is one partition of a topic, a process is one incarnation of a client that does one thing at a time, and
an operation ends in one of three ways. What Jepsen calls `info` is `unknown` here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """How an operation ended."""

    OK = "ok"
    """It happened."""
    FAIL = "fail"
    """It definitely did not happen. What it read was read all the same."""
    UNKNOWN = "unknown"
    """Whether it happened is not known: a time-out, a lost connection, or no answer at all."""


class Isolation(StrEnum):
    """Which records a reader is given (Kafka's `isolation.level`)."""

    COMMITTED = "read_committed"
    UNCOMMITTED = "read_uncommitted"


class Kind(StrEnum):
    """What a step does to its log."""

    SEND = "send"
    READ = "read"


TRANSACTION = "txn"
"""The action whose steps are atomic: its sends are all in the logs, or none is."""
READ_ALL = "read-all"
"""The action that says: this process has read the logs that are `assigned` here from their beginnings to
their ends, after all who write to them had ended. What it did not find there is gone."""


@dataclass(frozen=True, slots=True)
class Step:
    """One record sent to a log or read from it.

    Attributes:
        log: the topic-partition, such as `orders-0`.
        value: an integer that is sent to the log once, or once under its key.
        key: the record's key, whose order matters; None if it has none.
        offset: where the record stands in the log; None if that is not known.
    """

    kind: Kind
    log: str
    value: int
    key: str | None = None
    offset: int | None = None


def send(log: str, value: int, *, key: str | None = None, offset: int | None = None) -> Step:
    """A step that sends a record."""
    return Step(Kind.SEND, log, value, key, offset)


def read(log: str, value: int, *, key: str | None = None, offset: int | None = None) -> Step:
    """A step that has read a record."""
    return Step(Kind.READ, log, value, key, offset)


@dataclass(frozen=True, slots=True)
class Operation:
    """What a process asked for, and what came of it.

    Attributes:
        process: one incarnation of a logical client. A client that crashed, or whose producer was replaced
            after an unknown outcome, goes on as another process.
        action: `send`, `poll`, `txn` (atomic), `assign`, `subscribe`, `read-all`, `crash`, or a name of the
            workload's own.
        began: ns of a monotonic clock that all processes share.
        ended: the same; None if it never returned.
        steps: in the order in which they were done.
        isolation: of its reads.
        assigned: for `assign` and `subscribe`: the logs (of the topics) it asked for. Positions in others
            are forgotten.
        sought: logs in which its position was set anew, such as to the beginning.
        rebalanced: logs that were taken from it or given to it while it polled.
    """

    process: str
    action: str
    began: int
    ended: int | None
    outcome: Outcome
    steps: tuple[Step, ...] = ()
    error: str | None = None
    isolation: Isolation = Isolation.COMMITTED
    assigned: tuple[str, ...] = ()
    sought: tuple[str, ...] = ()
    rebalanced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Something beside the operations: a fault, a sample, a note.

    Attributes:
        at: ns of the operations' clock.
        kind: such as `fault`.
        data: what JSON can hold.
    """

    at: int
    kind: str
    data: Mapping[str, object] = field(default_factory=dict)


def fault(name: str, target: str, began: int, ended: int | None, evidence: str) -> Event:
    """The event of a fault: what was done to whom, when, and what shows that it happened."""
    return Event(
        began,
        "fault",
        {"name": name, "target": target, "began": began, "ended": ended, "evidence": evidence},
    )
