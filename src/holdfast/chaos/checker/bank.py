"""The bank: money moves between accounts, and none comes or goes.

The test is old (Jepsen's bank workload reads all balances at once); a processor of events has no such
moment, so here each posting tells the balance after it, and every one of them is checked. A transfer is
complete when its postings sum up to zero.
"""

from __future__ import annotations

from holdfast.chaos.checker.fold import not_evaluated
from holdfast.chaos.checker.verdict import Example, Finding, Validity, Verdict, verdict_of
from holdfast.chaos.history import Bounds, History
from holdfast.chaos.history.database import Database

RULES = ("bank-total", "bank-balance", "bank-twice")

_QUERIES = {
    "bank-total": """
        SELECT 'transfer ' || transfer || ': its ' || count(*) || ' postings (' || string_agg(account
            || ' ' || printf('%+d', amount), ', ' ORDER BY account)
               || ') sum up to ' || sum(amount) FROM postings GROUP BY transfer HAVING sum(amount) <> 0""",
    "bank-balance": """
        SELECT 'account ' || account || ', posting ' || position || ' (transfer ' || transfer || '): '
            || before || printf(' %+d', amount)
               || ' is ' || (before + amount) || ', and the balance is told as ' || balance
               || CASE WHEN balance < $minimum THEN ', below the least of ' || $minimum ELSE '' END
        FROM (SELECT *, lag(balance, 1, $opening) OVER (PARTITION BY account ORDER BY position) AS before
            FROM postings)
        WHERE balance <> before + amount OR balance < $minimum""",
    "bank-twice": """
        SELECT 'transfer ' || transfer || ' was posted ' || count(*) || ' times to account ' || account
        FROM postings GROUP BY transfer, account HAVING count(*) > 1""",
}


def check_bank(
    history: History,
    *,
    opening: int = 0,
    minimum: int | None = None,
    examples: int = 8,
    bounds: Bounds = Bounds(),  # noqa: B008 # frozen
) -> Verdict:
    """Whether the postings of a history conserve the money.

    Args:
        history: what was recorded; its table `postings`.
        opening: every account's balance before its first posting.
        minimum: the least balance that an account may have; None for any.
        examples: of each finding.
        bounds: what DuckDB may use.
    """
    with Database(bounds) as database:
        history.attach(database)
        postings = database.number("SELECT count(*) FROM postings")
        findings = [] if postings else [not_evaluated("the bank", "there were no postings")]
        for rule, query in _QUERIES.items():
            findings += _found(database, rule, query, opening, minimum, examples)
    return verdict_of(findings, RULES, {"bank": {"postings": postings}})


def _found(
    database: Database, rule: str, query: str, opening: int, minimum: int | None, examples: int
) -> list[Finding]:
    bound = {"opening": opening, "minimum": -(2**63) if minimum is None else minimum}
    needed = {name: value for name, value in bound.items() if f"${name}" in query}
    database.run(f"CREATE TABLE cases AS SELECT * FROM ({query}) c(text)", needed or None)
    count = database.number("SELECT count(*) FROM cases")
    shown = database.rows("SELECT text FROM cases ORDER BY text LIMIT ?", [examples])
    database.run("DROP TABLE cases")
    return (
        [Finding(rule, Validity.INVALID, count, tuple(Example(text) for (text,) in shown))] if count else []
    )
