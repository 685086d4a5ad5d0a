"""The check of a history: facts, then one rule after the other, then circles and metrics.

A pure function of the sealed history: the same files give the same verdict. All joins are DuckDB's, within
the memory that it is given; Python sees only examples, and the spans in which circles can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast.chaos.checker import facts, queries
from holdfast.chaos.checker.cycles import circles
from holdfast.chaos.checker.examples import Describer
from holdfast.chaos.checker.metrics import metrics
from holdfast.chaos.checker.rules import NAMED
from holdfast.chaos.checker.verdict import Example, Finding, Record, Validity, Verdict, verdict_of
from holdfast.chaos.history import Bounds, History
from holdfast.chaos.history.database import Database

_CIRCLES = tuple(f"{name}{variant}" for name in ("G1c", "G0") for variant in ("", "-process", "-realtime"))

LOG_RULES = (*queries.QUERIES, *_CIRCLES)
"""Every rule about logs that can be looked at."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to check.

    Attributes:
        write_order: also look for circles with writes over writes (G0, and G1c through them). Kafka may do
            that, so they are told and allowed; in a busy history they are many, and take long.
        examples: of each finding.
        bounds: what DuckDB may use.
    """

    write_order: bool = False
    examples: int = 8
    bounds: Bounds = field(default_factory=Bounds)


def check(history: History, options: Options = Options()) -> Verdict:
    """Whether a history is as Kafka's guarantees say.

    Raises:
        HistoryError: the history cannot be read.
    """
    with Database(options.bounds) as database:
        history.attach(database)
        return Checking(database, options).verdict()


class Checking:
    """One check, in a database that has the history's tables."""

    def __init__(self, database: Database, options: Options) -> None:
        self._database = database
        self._options = options
        self._describer = Describer(database)

    def verdict(self) -> Verdict:
        """Everything that the rules find."""
        facts.derive_sends(self._database)
        unfit = [*self._ambiguous(), *self._overlapping()]
        if unfit:
            return verdict_of(unfit, ["ambiguous-values", "overlapping-operations"])
        facts.derive_reads(self._database)
        for preparation in queries.PREPARATIONS:
            self._database.run(preparation)
        findings = self._nothing()
        for name, query in queries.QUERIES.items():
            findings += self._found(name, query)
        findings += self._circles()
        return verdict_of(findings, self._checked(), metrics(self._database))

    def _checked(self) -> list[str]:
        without = () if self._options.write_order else _CIRCLES[3:]
        return [name for name in LOG_RULES if name not in without]

    def _ambiguous(self) -> list[Finding]:
        rows = facts.values_sent_twice(self._database)
        examples = tuple(
            Example(f"it was sent {times} times", (Record(log, key, value, None),))
            for log, key, value, times in rows
        )
        why = "nothing else was looked at: let the workload send every value to a log, or under a key, once"
        return [Finding("ambiguous-values", Validity.UNKNOWN, len(rows), examples, why)] if rows else []

    def _overlapping(self) -> list[Finding]:
        self._database.run(f"CREATE TABLE overlapping AS {queries.OVERLAPS}")
        count = self._database.number("SELECT count(*) FROM overlapping")
        if not count:
            return []
        rows = self._database.rows(
            "SELECT records, acts, text FROM overlapping ORDER BY weight DESC, acts LIMIT ?",
            [self._options.examples],
        )
        why = "nothing else was looked at: let a process do one thing at a time"
        name = "overlapping-operations"
        return [Finding(name, Validity.UNKNOWN, count, self._describer.examples(rows), why)]

    def _nothing(self) -> list[Finding]:
        out = []
        if not self._database.number("SELECT count(*) FROM writes WHERE outcome = 'ok'"):
            out.append(Finding("nothing-acknowledged", Validity.UNKNOWN, 1, why="no send was acknowledged"))
        if not self._database.number("SELECT count(*) FROM rd"):
            out.append(Finding("nothing-read", Validity.UNKNOWN, 1, why="nobody read a record"))
        return out

    def _found(self, name: str, query: str) -> list[Finding]:
        self._database.run(f"CREATE TABLE cases AS {query}")
        counts = self._database.rows("SELECT allowed, count(*) FROM cases GROUP BY allowed")
        out = [self._finding(name, is_allowed, count) for is_allowed, count in counts]
        self._database.run("DROP TABLE cases")
        return out

    def _finding(self, name: str, is_allowed: bool, count: int) -> Finding:
        rows = self._database.rows(
            """SELECT records, acts, text FROM cases WHERE allowed = ?
            ORDER BY weight DESC, records, acts LIMIT ?""",
            [is_allowed, self._options.examples],
        )
        return _judged(name, is_allowed, count, self._describer.examples(rows))

    def _circles(self) -> list[Finding]:
        found = circles(
            self._database, with_overwrites=self._options.write_order, keep=self._options.examples
        )
        return [
            _judged(name, mixed, each.count, tuple(self._describer.circle(one) for one in each.shortest))
            for (name, mixed), each in found.items()
        ]


def _judged(name: str, is_allowed: bool, count: int, examples: Sequence[Example]) -> Finding:
    validity = Validity.VALID if is_allowed else Validity.INVALID
    return Finding(name, validity, count, tuple(examples), NAMED[name].allowed if is_allowed else "")
