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
    """

    name: str
    meaning: str
    workloads: tuple[WorkloadKind, ...] = _ALL
    transactions: bool = False


_INVARIANTS: tuple[Invariant, ...] = (
    Invariant(
        "exactly-once", "each input has its outputs once: none is missing, none is there twice", _PROCESSED
    ),
    Invariant(
        "no-lost-writes", "what was acknowledged is read by somebody, as all before it is (lost-write)"
    ),
    Invariant("no-unseen-writes", "what was acknowledged has been read by the end (unseen)"),
    Invariant("no-duplicates", "no value is at two offsets (duplicate)"),
    Invariant("consistent-offsets", "all who read an offset read the same there (inconsistent-offsets)"),
    Invariant("no-aborted-reads", "nothing is read that was aborted (G1a)", ("raw",), transactions=True),
    Invariant(
        "no-precommitted-reads",
        "no transaction reads what it has itself written (precommitted-read)",
        ("raw",),
        transactions=True,
    ),
    Invariant("monotonic-polls", "polls neither skip nor go back (poll-skip, nonmonotonic-poll)", ("raw",)),
    Invariant("monotonic-sends", "sends of a process get rising offsets (nonmonotonic-send)", ("raw",)),
    Invariant(
        "no-cycles", "no transactions depend on each other in a circle (G1c)", ("raw",), transactions=True
    ),
    Invariant(
        "per-key-order", "what has the same key stays in its order", ("raw", "sequence", "application")
    ),
    Invariant("conservation", "the sum of all accounts stays what it was", ("bank",)),
    Invariant(
        "state-fold",
        "every output is what its inputs give, one after the other (Kafka's EosTestDriver)",
        _PROCESSED,
    ),
    Invariant(
        "transactions-finished",
        "at the end no transaction is open: committed reads reach the end of every partition",
        transactions=True,
    ),
    Invariant("application-checks", "the `checks` of the application's topology hold", ("application",)),
)

INVARIANTS: Mapping[str, Invariant] = {invariant.name: invariant for invariant in _INVARIANTS}
"""Every built-in invariant by name."""

WITHOUT_TRANSACTIONS: tuple[Engine, ...] = ("at-least-once", "faust")
"""Engines that write none: the loop, and Faust as it is installed."""

WITH_PROCESSOR_SETTINGS: tuple[Engine, ...] = ("holdfast", "kafka-streams")
"""Engines that a processor's settings and warm copies mean something to: ours, and Kafka Streams."""
