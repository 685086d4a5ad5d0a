"""What an experiment can claim, and of which workloads it can be told at all.

Names of anomalies follow Jepsen's kafka workload (jepsen/src/jepsen/tests/kafka.clj); an invariant is the
absence of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

WorkloadKind = Literal["raw", "bank", "sequence", "application"]
Engine = Literal["holdfast", "client", "at-least-once", "faust", "faust-exactly-once", "kafka-streams"]

_ALL: tuple[WorkloadKind, ...] = ("raw", "bank", "sequence", "application")
_PROCESSED: tuple[WorkloadKind, ...] = ("bank", "sequence")


@dataclass(frozen=True, slots=True)
class Invariant:
    """One of the built-in invariants.

    Attributes:
        name: as experiments name it.
        meaning: one line for readers.
        workloads: those whose history can show that it is broken.
        transactions: whether it is about transactions, which not every engine writes in.
        rules: those of the checker whose findings break it (`holdfast.chaos.checker.rules`).
    """

    name: str
    meaning: str
    workloads: tuple[WorkloadKind, ...] = _ALL
    transactions: bool = False
    rules: tuple[str, ...] = ()


_INVARIANTS: tuple[Invariant, ...] = (
    Invariant(
        "exactly-once",
        "each input has its outputs once: none is missing, none is there twice",
        _PROCESSED,
        rules=("fold-lost", "fold-twice", "fold-stranger"),
    ),
    Invariant(
        "no-lost-writes",
        "what was acknowledged is there at the end, as is all before what was read (lost-write, unseen, "
        "vanished)",
        rules=("lost-write", "unseen", "vanished"),
    ),
    Invariant("no-duplicates", "no value is at two offsets (duplicate)", rules=("duplicate",)),
    Invariant(
        "consistent-offsets",
        "all who read an offset read the same, and what somebody sent (inconsistent-offsets, stray-read)",
        rules=("inconsistent-offsets", "stray-read"),
    ),
    Invariant(
        "atomic-transactions",
        "of a transaction all records are read by the end, or none (torn-transaction)",
        ("raw",),
        transactions=True,
        rules=("torn-transaction",),
    ),
    Invariant(
        "no-aborted-reads",
        "nothing is read that was aborted (G1a)",
        ("raw",),
        transactions=True,
        rules=("G1a",),
    ),
    Invariant(
        "no-precommitted-reads",
        "no transaction reads what it has itself written (precommitted-read)",
        ("raw",),
        transactions=True,
        rules=("precommitted-read",),
    ),
    Invariant(
        "monotonic-polls",
        "polls neither skip nor go back (poll-skip, nonmonotonic-poll)",
        ("raw",),
        rules=("int-poll-skip", "int-nonmonotonic-poll", "poll-skip", "nonmonotonic-poll"),
    ),
    Invariant(
        "monotonic-sends",
        "sends of a process get rising offsets (nonmonotonic-send)",
        ("raw",),
        rules=("int-send-skip", "int-nonmonotonic-send", "nonmonotonic-send"),
    ),
    Invariant(
        "no-cycles",
        "no transactions depend on each other in a circle (G1c)",
        ("raw",),
        transactions=True,
        rules=("G0", "G0-process", "G0-realtime", "G1c", "G1c-process", "G1c-realtime"),
    ),
    Invariant(
        "per-key-order",
        "what has the same key stays in its order",
        ("sequence", "application"),
        rules=("reordered", "fold-order"),
    ),
    Invariant(
        "conservation",
        "the sum of all accounts stays what it was",
        ("bank",),
        rules=("bank-total", "bank-balance", "bank-twice"),
    ),
    Invariant(
        "state-fold",
        "every output is what its inputs give, one after the other (Kafka's EosTestDriver)",
        _PROCESSED,
        rules=("fold-order", "fold-state"),
    ),
    Invariant(
        "transactions-finished",
        "at the end no transaction is open: committed reads reach the end of every partition",
        transactions=True,
        rules=("unfinished-transactions",),
    ),
    Invariant("application-checks", "the `checks` of the application's topology hold", ("application",)),
)

INVARIANTS: Mapping[str, Invariant] = {invariant.name: invariant for invariant in _INVARIANTS}
"""Every built-in invariant by name."""

WITHOUT_TRANSACTIONS: tuple[Engine, ...] = ("at-least-once", "faust")
"""Engines that write none: the loop, and Faust as it is installed."""

WITH_PROCESSOR_SETTINGS: tuple[Engine, ...] = ("holdfast", "kafka-streams")
"""Engines that a processor's settings and warm copies mean something to: ours, and Kafka Streams."""

SEQUENCE_ONLY: tuple[Engine, ...] = ("faust", "faust-exactly-once", "kafka-streams")
"""Engines that have no `bank`: it has one state that records of two topics change, under keys of their own.
Faust has no such thing, and nobody has written it for Kafka Streams."""
