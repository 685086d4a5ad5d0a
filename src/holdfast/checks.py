"""What a check of the application's invariants reads, and what it answers.

A check is a function of the application, named under `checks:` in topology.yaml. It reads committed
records only and is run when the processors have caught up with their inputs::

    def every_order_is_closed(log: TopicReader) -> CheckResult:
        placed = {r.event.order_id for r in log.events("orders")}
        closed = {r.event.order_id for r in log.events("order-outcomes")}
        problems = (f"order {order} is open" for order in placed - closed)
        return CheckResult.of("every order is closed", problems, placed=len(placed), closed=len(closed))
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from holdfast.errors import HoldfastError
from holdfast.record import Message, Position

EXAMPLES_KEPT = 5
"""How many problems a result shows; all of them are counted."""


class Recorded(NamedTuple):
    """One committed record of a declared topic, decoded.

    Attributes:
        position: where it stands.
        key: the record's key as text, or None.
        timestamp: milliseconds since the epoch.
        event: an instance of one of the topic's event classes, or a `Tombstone`.
    """

    position: Position
    key: str | None
    timestamp: int
    event: Any


class TopicReader(Protocol):
    """All committed records of the application, from the start of each topic to its end.

    Each call reads anew. Records of different partitions come in no particular order, those of one
    partition in theirs.
    """

    def events(self, topic: str) -> Iterator[Recorded]:
        """The records of a declared topic; those that cannot be decoded are left out.

        Raises:
            TopologyError: the topic is not declared.
            ClusterError: the brokers cannot be read.
        """

    def table(self, processor: str, table: str) -> Mapping[str, Any]:
        """A processor's table, folded from its changelog: each key's last value, as the declared type.

        Raises:
            TopologyError: the processor or table is not declared.
            StateError: a value cannot be decoded.
            ClusterError: the brokers cannot be read.
        """

    def dead_letters(self) -> Iterator[Message]:
        """The records that the application's processors set aside.

        Raises:
            ClusterError: the brokers cannot be read.
        """

    def records(self, topic: str) -> Iterator[Message]:
        """The raw records of any topic, declared or not; none if it does not exist.

        Raises:
            ClusterError: the brokers cannot be read.
        """


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found.

    Attributes:
        name: the invariant, as a short statement.
        ok: whether it holds.
        counts: what was looked at, by name; shown beside the verdict.
        violations: how many violations there are.
        examples: the first few of them, one line each.
    """

    name: str
    ok: bool
    counts: Mapping[str, int | Decimal]
    violations: int = 0
    examples: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, problems: Iterable[str], **counts: int | Decimal) -> CheckResult:
        """The result for everything in `problems`: it holds if there is none."""
        found = list(problems)
        return cls(name, not found, counts, len(found), tuple(found[:EXAMPLES_KEPT]))


Check = Callable[[TopicReader], CheckResult]
"""A function named under `checks:`."""


def run_checks(checks: Mapping[str, Check], log: TopicReader) -> Iterator[CheckResult]:
    """Run checks one after the other; one that raises has failed, and the others are run all the same.

    Raises:
        HoldfastError: the data could not be read, so that nothing can be said.
    """
    for name, check in checks.items():
        try:
            yield check(log)
        except HoldfastError:
            raise
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything; its failure is the result
            place = traceback.extract_tb(error.__traceback__)[-1]
            text = f"the check raised {error!r} at {place.filename}:{place.lineno}"
            yield CheckResult(name, False, {}, 1, (text,))
