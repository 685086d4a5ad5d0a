"""Invariants of the user's own: a query that has to give no rows, or a function.

An invariant that looked at nothing proves nothing: it fails, and says so. So each tells what it looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from holdfast.chaos.checker.fold import not_evaluated
from holdfast.chaos.checker.verdict import Example, Finding, Validity, Verdict, verdict_of
from holdfast.chaos.history import Bounds, History
from holdfast.chaos.history.database import Database
from holdfast.errors import HistoryError


@dataclass(frozen=True, slots=True)
class SqlInvariant:
    """A query over the history's tables (see `history.tables`), in DuckDB's SQL.

    Attributes:
        wrong: gives one row for every violation.
        over: what it looks at, as a table or a query; with no rows there, the invariant was not evaluated.
    """

    name: str
    wrong: str
    over: str


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What a function found: how many things it looked at, and a text for every violation."""

    looked_at: int
    problems: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class PythonInvariant:
    """A function of a database in which the history's tables are (`database.rows("SELECT ...")`)."""

    name: str
    evaluate: Callable[[Database], Evaluated]


def check_invariants(
    history: History,
    invariants: Iterable[SqlInvariant | PythonInvariant],
    *,
    examples: int = 8,
    bounds: Bounds = Bounds(),  # noqa: B008 # frozen
) -> Verdict:
    """Whether all invariants hold.

    Raises:
        HistoryError: a query cannot be run.
    """
    asked = list(invariants)
    with Database(bounds) as database:
        history.attach(database)
        findings = [found for one in asked for found in _found(database, one, examples)]
    return verdict_of(findings, [f"invariant {one.name}" for one in asked])


def _found(database: Database, invariant: SqlInvariant | PythonInvariant, examples: int) -> list[Finding]:
    if isinstance(invariant, SqlInvariant):
        looked_at, count, problems = _by_query(database, invariant, examples)
    else:
        answer = invariant.evaluate(database)
        looked_at, count, problems = answer.looked_at, len(answer.problems), list(answer.problems[:examples])
    out = []
    if not looked_at:
        out.append(not_evaluated(f"the invariant {invariant.name!r}", "it looked at no rows"))
    if count:
        shown = tuple(Example(f"{invariant.name}: {problem}") for problem in problems)
        out.append(Finding("invariant", Validity.INVALID, count, shown))
    return out


def _by_query(database: Database, invariant: SqlInvariant, examples: int) -> tuple[int, int, list[str]]:
    over = invariant.over if " " in invariant.over.strip() else f"FROM {invariant.over}"
    try:
        looked_at = database.number(f"SELECT count(*) FROM ({over})")
        database.run(f"CREATE TABLE cases AS {invariant.wrong}")
    except database.failure as error:
        raise HistoryError(f"the invariant {invariant.name!r} cannot be evaluated: {error}") from error
    count = database.number("SELECT count(*) FROM cases")
    columns = [name for name, *_ in database.rows("DESCRIBE cases")]
    rows = database.rows("SELECT * FROM cases LIMIT ?", [examples])
    database.run("DROP TABLE cases")
    told = [", ".join(f"{name} {value}" for name, value in zip(columns, row, strict=True)) for row in rows]
    return looked_at, count, told
