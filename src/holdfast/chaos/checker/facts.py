"""What the rules look at: facts that are derived once from a history.

    processes   id, process
    logs, keys  id, log or key
    op          op, process, action, began, ended, outcome, committed (its reads are read_committed)
    writes      w, op, step, process, log, key, value, "offset", outcome, must, first, last, places, seen...
    rd          op, step, process, log, "offset", w, outcome, committed: reads of what somebody sent
    strays      op, log, key, value, "offset": reads of what nobody sent
    entry       log, "offset", idx, w: the logs, with their dense indexes

A record is known by its log, key and value. Offsets have gaps (control records and aborted ones take
slots), so positions are compared by `idx`, the dense index among the offsets at which something was seen.
`must` says that the record is in the log for certain: its operation is ok, or is a transaction of unknown
outcome of which something was read. `first` and `last` are the lowest and highest index of a record that
stands at several places; `seen`, `seen_ok` and `seen_at` say whether and when (first) it was read.
"""

from __future__ import annotations

from holdfast.chaos.history.database import Database

_DERIVATIONS = (
    """CREATE TABLE processes AS
    SELECT row_number() OVER (ORDER BY process)::INTEGER AS id, process
    FROM (SELECT DISTINCT process FROM operations)""",
    """CREATE TABLE logs AS
    SELECT row_number() OVER (ORDER BY log)::INTEGER AS id, log
    FROM (SELECT log FROM steps UNION SELECT log FROM marks)""",
    """CREATE TABLE keys AS
    SELECT row_number() OVER (ORDER BY key)::INTEGER AS id, key
    FROM (SELECT DISTINCT key FROM steps)""",
    """CREATE TABLE op AS
    SELECT o.op, p.id AS process, action, began, ended, outcome, isolation = 'read_committed' AS committed
    FROM operations o JOIN processes p USING (process)""",
    """CREATE TABLE sent AS
    SELECT row_number() OVER (ORDER BY s.op, s.step) AS w,
        s.op, s.step, o.process, l.id AS log, k.id AS key, s.value,
        s."offset", o.outcome, o.action
    FROM steps s JOIN op o USING (op) JOIN logs l USING (log) JOIN keys k ON k.key IS NOT DISTINCT FROM s.key
    WHERE s.kind = 'send'""",
)

_READS = (
    """CREATE TABLE every_read AS
    SELECT s.op, s.step, o.process, l.id AS log, k.id AS key, s.value, s."offset", o.outcome, o.committed,
        o.ended
    FROM steps s JOIN op o USING (op) JOIN logs l USING (log) JOIN keys k ON k.key IS NOT DISTINCT FROM s.key
    WHERE s.kind = 'read'""",
    """CREATE TABLE strays AS
    SELECT op, log, key, value, "offset" FROM every_read r ANTI JOIN sent USING (log, key, value)""",
    """CREATE TABLE rd AS
    SELECT r.op, r.step, r.process, r.log, r."offset", s.w, r.outcome, r.committed, r.ended
    FROM every_read r JOIN sent s USING (log, key, value)""",
    "DROP TABLE every_read",
    # If no reader was read_committed at all, what the others read has to do.
    """CREATE TABLE seen AS
    SELECT w, bool_or(outcome = 'ok') AS ok, min(ended) AS at_
    FROM rd WHERE committed OR NOT EXISTS (SELECT 1 FROM rd WHERE committed) GROUP BY w""",
    """CREATE TABLE certain AS
    SELECT DISTINCT s.op FROM sent s JOIN seen USING (w) WHERE s.outcome = 'unknown' AND s.action = 'txn'
        AND seen.ok""",
    """CREATE TABLE place AS
    SELECT log, "offset", w, bool_or(counts) AS counts FROM (
        SELECT log, "offset", w, committed OR NOT EXISTS (SELECT 1 FROM rd WHERE committed) AS counts
        FROM rd WHERE "offset" IS NOT NULL
        UNION ALL
        SELECT log, "offset", w, true FROM sent
        WHERE "offset" IS NOT NULL AND (outcome = 'ok' OR op IN (SELECT op FROM certain))
    ) GROUP BY ALL""",
    """CREATE TABLE entry AS
    SELECT log, "offset", w, (dense_rank() OVER (PARTITION BY log ORDER BY "offset") - 1)::INTEGER AS idx
    FROM place WHERE counts""",
    """CREATE TABLE writes AS
    SELECT s.* EXCLUDE (action), s.outcome = 'ok' OR s.op IN (SELECT op FROM certain) AS must,
           e.first, e.last, coalesce(e.places, 0) AS places,
           seen.w IS NOT NULL AS seen, coalesce(seen.ok, false) AS seen_ok, seen.at_ AS seen_at
    FROM sent s
    LEFT JOIN (SELECT w, min(idx) AS first, max(idx) AS last, count(*) AS places FROM entry
        GROUP BY w) e USING (w)
    LEFT JOIN seen USING (w)""",
    "DROP TABLE sent",
    "DROP TABLE seen",
)


def values_sent_twice(database: Database) -> list[tuple[str, str | None, int, int]]:
    """Values that were sent more than once (log, key, value, times): no rule can tell their records apart."""
    return database.rows("""
        SELECT l.log, k.key, value, count(*) AS times FROM sent s JOIN logs l ON l.id = s.log JOIN keys k
            ON k.id = s.key
        GROUP BY ALL HAVING count(*) > 1 ORDER BY times DESC LIMIT 8""")


def derive_sends(database: Database) -> None:
    """The facts about who sent what."""
    for query in _DERIVATIONS:
        database.run(query)


def derive_reads(database: Database) -> None:
    """The other facts; only where no value was sent twice."""
    for query in _READS:
        database.run(query)
