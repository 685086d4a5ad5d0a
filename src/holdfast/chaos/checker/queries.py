"""The rules that are queries over the facts: each gives one row for every case.

Columns: `records` (ids in `writes`), `acts` (ids in `op`), `text`, `weight` (the heaviest cases become the
examples) and `allowed`. In `text` a log stands as `{log:ID}`, and is named when the examples are written.
"""

from __future__ import annotations

ORDERED = """writes JOIN keys ON keys.id = writes.key
              WHERE keys.key IS NOT NULL AND outcome <> 'fail' AND places > 0"""
"""The records that have an order among those that the same process sent to the same log with the same key."""

QUERIES: dict[str, str] = {
    "inconsistent-offsets": """
        SELECT list(w ORDER BY w)[1:4] AS records, [] AS acts,
               'offset ' || "offset" || ' of {log:' || log || '} was seen with ' || count(*)
                   || ' records' AS text,
               count(*) AS weight, false AS allowed
        FROM place GROUP BY log, "offset" HAVING count(*) > 1""",
    "duplicate": """
        SELECT [e.w] AS records, [] AS acts,
               'it stands at the offsets ' || list(e."offset" ORDER BY e."offset")[1:8]::VARCHAR AS text,
               count(*) AS weight, false AS allowed
        FROM entry e SEMI JOIN (SELECT w FROM writes WHERE places > 1) d ON d.w = e.w GROUP BY e.w""",
    "lost-write": """
        WITH bound AS (
            SELECT log, max(first) AS idx, arg_max(w, first) AS w
            FROM writes WHERE seen_ok AND places > 0 GROUP BY log)
        SELECT [writes.w, bound.w] AS records, [] AS acts,
               'nobody read the first of these records (index ' || last
                   || '), but somebody read the second (index ' || idx || ')' AS text,
               idx - last AS weight, false AS allowed
        FROM writes JOIN bound USING (log) WHERE must AND NOT seen AND last <= idx""",
    "unseen": """
        SELECT [w] AS records, [] AS acts, 'it was acknowledged, and nobody read it' AS text,
               -w AS weight, false AS allowed
        FROM writes WHERE outcome = 'ok' AND NOT seen""",
    "vanished": """
        WITH whole AS (
            SELECT DISTINCT op.process, logs.id AS log
            FROM op JOIN marks USING (op) JOIN logs ON logs.log = marks.log
            WHERE op.action = 'read-all' AND op.outcome = 'ok' AND marks.kind = 'assigned'),
        there AS (SELECT DISTINCT w FROM rd JOIN whole USING (process, log)),
        gone AS (
            SELECT w FROM writes SEMI JOIN whole USING (log) ANTI JOIN there USING (w) WHERE must AND seen)
        SELECT [w] AS records, [min(rd.op)] AS acts,
               'it was read once, and was not there when its log was read to the end' AS text,
               -w AS weight, false AS allowed
        FROM gone JOIN rd USING (w) GROUP BY w""",
    "torn-transaction": """
        SELECT [min(w) FILTER (NOT seen), min(w) FILTER (seen)] AS records, [o.op] AS acts,
               'of ' || count(*) || ' records nobody read ' || count(*) FILTER (NOT seen)
                   || ', such as the first of these; somebody read the second' AS text,
               count(*) AS weight, false AS allowed
        FROM writes JOIN op o ON o.op = writes.op WHERE o.action = 'txn' AND o.outcome <> 'fail'
        GROUP BY o.op HAVING bool_or(seen) AND NOT bool_and(seen)""",
    "G1a": """
        SELECT [rd.w] AS records, [rd.op] AS acts, 'its sender had failed, and it was read' AS text,
               -rd.op AS weight, false AS allowed
        FROM rd JOIN writes USING (w) WHERE rd.committed AND writes.outcome = 'fail'""",
    "precommitted-read": """
        SELECT [rd.w] AS records, [rd.op] AS acts, 'the operation read what it had sent itself' AS text,
               -rd.op AS weight, false AS allowed
        FROM rd JOIN writes ON writes.w = rd.w AND writes.op = rd.op JOIN op ON op.op = rd.op
        WHERE rd.committed AND op.action = 'txn'""",
    "stray-read": """
        SELECT [] AS records, [op] AS acts,
               'value ' || value || coalesce(' of key ' || keys.key, '') || ' was read from {log:' || log
                   || '}' || coalesce(' at offset ' || "offset", '') || ', and nobody sent it' AS text,
               -op AS weight, false AS allowed
        FROM strays JOIN keys ON keys.id = strays.key""",
    "int-poll-skip": """
        SELECT [before, w] AS records, [op] AS acts,
               'it read these one after the other, over ' || (idx - before_idx - 1)
                   || ' records between them' AS text,
               idx - before_idx AS weight, false AS allowed
        FROM leap WHERE inner_ AND idx > before_idx + 1""",
    "int-nonmonotonic-poll": """
        SELECT [before, w] AS records, [op] AS acts,
               'it read these one after the other, back by ' || (before_idx - idx) AS text,
               before_idx - idx AS weight, false AS allowed
        FROM leap WHERE inner_ AND idx <= before_idx""",
    "poll-skip": """
        SELECT [before, w] AS records, [before_op, op] AS acts,
               'its reads passed over ' || (idx - before_idx - 1) || ' records between these' AS text,
               idx - before_idx AS weight, subscribed AS allowed
        FROM leap WHERE NOT inner_ AND tried_idx >= 0 AND idx > greatest(before_idx, tried_idx) + 1""",
    "nonmonotonic-poll": """
        SELECT [before, w] AS records, [before_op, op] AS acts,
               'its reads went from the first of these back to the second, by ' || (before_idx - idx) AS text,
               before_idx - idx AS weight, subscribed AS allowed
        FROM leap WHERE NOT inner_ AND idx <= before_idx""",
    "int-send-skip": """
        SELECT [before, w] AS records, [op] AS acts,
               (idx - before_idx - 1) || ' records of others stand between these' AS text,
               idx - before_idx AS weight, true AS allowed
        FROM send_leap WHERE op = before_op AND idx > before_idx + 1""",
    "int-nonmonotonic-send": """
        SELECT [before, w] AS records, [op] AS acts,
               'the second of these was sent after the first and stands before it' AS text,
               before_idx - idx AS weight, false AS allowed
        FROM send_leap WHERE op = before_op AND idx <= before_idx""",
    "nonmonotonic-send": """
        SELECT [before, w] AS records, [] AS acts,
               'the second of these was sent after the first and stands before it' AS text,
               before_idx - idx AS weight, false AS allowed
        FROM send_leap WHERE op <> before_op AND idx <= before_idx""",
    "reordered": f"""
        SELECT [before, w] AS records, [] AS acts,
               'of one key, the second of these was sent after the first and stands before it' AS text,
               before_idx - idx AS weight, false AS allowed
        FROM (SELECT w, last AS idx, lag(last) OVER sent AS before_idx, lag(w) OVER sent AS before
              FROM {ORDERED}
              WINDOW sent AS (PARTITION BY process, log, writes.key ORDER BY op, step))
        WHERE idx <= before_idx""",
}

# The reads that do not simply go on where the process stood. Within an operation that is the read before.
# Between operations it is the last read of one that ended ok, or (`tried_idx`) of one of unknown outcome
# behind it.
_POLLS = """
    CREATE TABLE leap_candidates AS
    WITH polled AS (
        SELECT rd.w, rd.log, rd.process, rd.op, rd.step, rd.outcome, writes.last AS idx,
               {'op': rd.op, 'w': rd.w, 'idx': coalesce(writes.last, -1)} AS here
        FROM rd JOIN writes USING (w)),
    compared AS (
        SELECT w, log, process, op, idx,
               lag(here) OVER positions AS previous,
               last_value(CASE WHEN outcome = 'ok' THEN here END IGNORE NULLS) OVER past AS stood,
               last_value(CASE WHEN outcome <> 'fail' THEN here.idx END IGNORE NULLS) OVER past AS tried_idx
        FROM polled
        WINDOW positions AS (PARTITION BY process, log ORDER BY op, step),
               past AS (PARTITION BY process, log ORDER BY op, step
                        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)),
    judged AS (
        SELECT w, log, process, op, idx, tried_idx, coalesce(previous.op = op, false) AS inner_,
               CASE WHEN inner_ THEN previous ELSE stood END AS before_
        FROM compared)
    SELECT * EXCLUDE (before_), before_.op AS before_op, before_.w AS before, before_.idx AS before_idx
    FROM judged WHERE before_.idx >= 0 AND idx IS NOT NULL AND idx <> before_.idx + 1"""

# Without those that are explained: by a rebalance of the log within the operation, or by an assignment since,
# without the log or with a new position in it.
_EXPLAINED = """
    CREATE TABLE leap AS
    SELECT c.*, sub.process IS NOT NULL AS subscribed
    FROM leap_candidates c
    ANTI JOIN (SELECT op, l.id AS log FROM marks JOIN logs l USING (log) WHERE kind = 'rebalanced') r
        ON r.op = c.op AND r.log = c.log
    ANTI JOIN (
        SELECT DISTINCT c.op, c.log FROM leap_candidates c
        JOIN op a ON a.process = c.process AND a.op > c.before_op AND a.op < c.op
            AND a.action IN ('assign', 'subscribe') AND a.outcome <> 'fail'
        LEFT JOIN (SELECT op, l.id AS log FROM marks JOIN logs l USING (log) GROUP BY ALL
                   HAVING bool_or(kind = 'assigned') AND NOT bool_or(kind = 'sought')) kept
            ON kept.op = a.op AND kept.log = c.log
        WHERE kept.op IS NULL) forgotten ON forgotten.op = c.op AND forgotten.log = c.log
    LEFT JOIN (SELECT DISTINCT process FROM op WHERE action = 'subscribe') sub ON sub.process = c.process"""

_SENDS = """
    CREATE TABLE send_leap AS SELECT * FROM (
        SELECT w, op, last AS idx,
               lag(w) OVER sent AS before, lag(op) OVER sent AS before_op, lag(last) OVER sent AS before_idx
        FROM writes WHERE outcome <> 'fail' AND places > 0
        WINDOW sent AS (PARTITION BY process, log ORDER BY op, step)
    ) WHERE idx <> before_idx + 1 AND (op = before_op OR idx <= before_idx)"""

OVERLAPS = """
    SELECT [] AS records, [before, op] AS acts, 'the second began before the first had ended' AS text,
           before_ended - began AS weight
    FROM (SELECT op, began, action, lag(op) OVER mine AS before, lag(ended) OVER mine AS before_ended,
                 lag(action) OVER mine AS before_action
          FROM op WINDOW mine AS (PARTITION BY process ORDER BY op))
    WHERE began < before_ended AND NOT (action = 'send' AND before_action = 'send')"""
"""Operations of one process at the same time: the history is not what the rules take it for.

Sends may follow one another without waiting: an idempotent producer keeps the order in which they began."""

PREPARATIONS = (_POLLS, _EXPLAINED, "DROP TABLE leap_candidates", _SENDS)
"""Run before the queries."""
