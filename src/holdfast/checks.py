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
from numbers import Integral
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
    def of(cls, name: str, problems: Iterable[object], **counts: int | Decimal) -> CheckResult:
        """The result for everything in `problems`, each shown as `str` has it: it holds if there is none."""
        found = list(problems)
        return cls(name, not found, counts, len(found), tuple(map(str, found[:EXAMPLES_KEPT])))


Check = Callable[[TopicReader], CheckResult]
"""A function named under `checks:`."""


def run_checks(checks: Mapping[str, Check], log: TopicReader) -> Iterator[CheckResult]:
    """Run checks one after the other, and yield their results as values that can be shown and kept.

    One that raises, or returns what is no result, has failed, and the others are run all the same.

    Raises:
        HoldfastError: the data could not be read, so that nothing can be said.
    """
    for name, check in checks.items():
        try:
            yield _taken(name, check(log))
        except HoldfastError:
            raise
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything; its failure is the result
            place = traceback.extract_tb(error.__traceback__)[-1]
            yield _failed(name, f"the check raised {error!r} at {place.filename}:{place.lineno}")


def _failed(name: str, why: str) -> CheckResult:
    return CheckResult(name, False, {}, 1, (why,))


def _taken(name: str, answer: Any) -> CheckResult:
    """What a check returned, in plain values: nobody makes sure that the user's code keeps to annotations.

    What is wrong with it is a violation beside those that it found.
    """
    if not isinstance(answer, CheckResult):
        return _failed(name, f"the check returned {answer!r}; it has to return a CheckResult")
    counts, wrong = _counts(answer.counts)
    violations: Any = answer.violations
    if not isinstance(violations, Integral):
        wrong.append(f"the check's violations are {violations!r}, which is no whole number")
        violations = 0
    examples = _texts(answer.examples)
    return CheckResult(
        str(answer.name),
        bool(answer.ok) and not wrong,
        counts,
        int(violations) + len(wrong),
        (*examples, *wrong),
    )


def _counts(given: Any) -> tuple[dict[str, Any], list[str]]:
    """Those that are numbers, and what is wrong with the others."""
    if not isinstance(given, Mapping):
        return {}, [f"the check's counts are {given!r}, which are no numbers by name"]
    numbers = {str(name): it for name, it in given.items() if isinstance(it, Integral | float | Decimal)}
    others = {str(name): it for name, it in given.items() if str(name) not in numbers}
    return numbers, [f"the check's count {name} is {it!r}, which is no number" for name, it in others.items()]


def _texts(given: Any) -> tuple[str, ...]:
    is_one = isinstance(given, str) or not isinstance(given, Iterable)
    return (str(given),) if is_one else tuple(map(str, given))
