"""Invariants of the user's own: a query that has to give no rows, or a function.

An invariant that looked at nothing proves nothing: it fails, and says so. So each tells what it looks at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from holdfast.chaos.checker.fold import not_evaluated
from holdfast.chaos.checker.verdict import Example, Finding, Validity, Verdict, verdict_of
from holdfast.chaos.history import Bounds, History
from holdfast.chaos.history.blank import blank_history, tables_of
from holdfast.chaos.history.database import Database
from holdfast.chaos.history.tables import COLUMNS, VIEWS
from holdfast.errors import HistoryError

LIMIT_S = 600.0
"""Seconds for one invariant: ten million operations are checked by all rules in less."""

_TRY_S = 10.0
"""Seconds for a query that has no rows to look at."""


@dataclass(frozen=True, slots=True)
class SqlInvariant:
    """A query over the history's tables (see `history.tables`), in DuckDB's SQL.

    Attributes:
        wrong: gives one row for every violation.
        over: what it looks at, as a table or a query; with no rows there, the invariant was not evaluated.
            None for every table that `wrong` names: none of them may be empty.
    """

    name: str
    wrong: str
    over: str | None = None


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
    limit_s: float = LIMIT_S,
) -> Verdict:
    """Whether all invariants hold.

    Args:
        history: what they are asked of.
        invariants: the invariants.
        examples: the most violations of each that are shown.
        bounds: what a query may use.
        limit_s: seconds for each; what a function does beside its queries is not cut short.

    Returns:
        the verdict, with a metric `looked_at`: for each invariant, how many of what there were.

    Raises:
        HistoryError: a query cannot be run or takes too long, or a function returned something else than
            `Evaluated`.
    """
    findings: list[Finding] = []
    looked_at: dict[str, Mapping[str, int]] = {}
    with Database(bounds) as database:
        history.attach(database)
        for one in invariants:
            with database.limited(limit_s, f"the invariant {one.name!r}"):
                seen, found = _evaluated(database, one, examples)
            looked_at[one.name] = seen
            findings += found
    return verdict_of(findings, [f"invariant {name}" for name in looked_at], {"looked_at": looked_at})


def sql_problem(invariant: SqlInvariant) -> str:
    """Why a query cannot be evaluated on any history; empty if it can."""
    try:
        with blank_history() as blank, blank.limited(_TRY_S, "on an empty history it"):
            if not _by_query(blank, invariant, 1)[0]:
                tables = ", ".join((*COLUMNS, *VIEWS))
                return (
                    f"it looks at nothing: it names no table of the history ({tables}). Say with `over` what "
                    "it looks at"
                )
    except HistoryError as error:
        # Behind that are the query's line and a mark below it, which are nothing in one line.
        told, _, place = str(error).partition("\n\nLINE ")
        has_lines = any("\n" in (query or "").strip() for query in (invariant.wrong, invariant.over))
        where = f" (line {place.partition(':')[0]} of the query)" if place and has_lines else ""
        return " ".join(told.split()) + where + _hint(told, invariant)
    return ""


def _hint(told: str, invariant: SqlInvariant) -> str:
    """What is most likely wrong where SQL takes the name of a column for a word of its own."""
    queries = f"{invariant.wrong} {invariant.over or ''}"
    if "syntax error" in told and re.search(r'(?<!")\boffset\b(?!")', queries, re.IGNORECASE):
        return '; the column "offset" has to stand in double quotes: without them it is a word of SQL'
    return ""


def _evaluated(
    database: Database, invariant: SqlInvariant | PythonInvariant, examples: int
) -> tuple[Mapping[str, int], list[Finding]]:
    if isinstance(invariant, SqlInvariant):
        looked_at, count, problems = _by_query(database, invariant, examples)
    else:
        looked_at, count, problems = _by_function(database, invariant, examples)
    out = []
    empty = [what for what, number in looked_at.items() if not number]
    if empty or not looked_at:
        why = f"there were no {' and no '.join(empty)} to look at" if empty else "it names no table"
        out.append(not_evaluated(f"the invariant {invariant.name!r}", why))
    if count:
        shown = tuple(Example(f"{invariant.name}: {problem}") for problem in problems)
        out.append(Finding("invariant", Validity.INVALID, count, shown))
    return looked_at, out


_Answer = tuple[Mapping[str, int], int, Sequence[str]]
"""How many of what it looked at, how many violations there are, and the first of them in words."""


def _by_function(database: Database, invariant: PythonInvariant, examples: int) -> _Answer:
    answer: object = invariant.evaluate(database)
    if not isinstance(answer, Evaluated):
        raise HistoryError(
            f"the invariant {invariant.name!r} has to return an `Evaluated` "
            f"(holdfast.chaos.checker.invariants), and returned {type(answer).__name__}"
        )
    return {"things": answer.looked_at}, len(answer.problems), answer.problems[:examples]


def _by_query(database: Database, invariant: SqlInvariant, examples: int) -> _Answer:
    try:
        looked_at = _looked_at(database, invariant)
        database.run(f"CREATE TABLE cases AS {invariant.wrong}")
    except HistoryError as error:
        raise HistoryError(f"the invariant {invariant.name!r} cannot be evaluated: {error}") from error
    count = database.number("SELECT count(*) FROM cases")
    columns = [name for name, *_ in database.rows("DESCRIBE cases")]
    rows = database.rows("SELECT * FROM cases LIMIT ?", [examples])
    database.run("DROP TABLE cases")
    told = [", ".join(f"{name} {value}" for name, value in zip(columns, row, strict=True)) for row in rows]
    return looked_at, count, told


def _looked_at(database: Database, invariant: SqlInvariant) -> Mapping[str, int]:
    if invariant.over is None:
        with blank_history() as blank:
            tables = tables_of(blank, invariant.wrong)
        return {name: database.number(f"SELECT count(*) FROM {name}") for name in tables}
    is_query = len(invariant.over.split()) > 1
    # The bracket is on a line of its own, as the last one may be a comment.
    source = f"({invariant.over.rstrip().rstrip(';')}\n)" if is_query else invariant.over
    return {"rows" if is_query else invariant.over: database.number(f"SELECT count(*) FROM {source}")}
