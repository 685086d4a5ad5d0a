"""Numbers beside the verdict: how late reads were, how much was unseen when, what was consumed twice."""

from __future__ import annotations

from typing import Any

from holdfast.chaos.checker.queries import ORDERED
from holdfast.chaos.history.database import Database

POINTS = 200
"""Of a curve over time."""


def metrics(database: Database) -> dict[str, Any]:
    """All of them, as JSON can hold them.

    `counts`: operations by action and outcome.
    `keyed_pairs`: records that a process sent to a log behind another with the same key, both being there.
    `unseen`: [ns since the start, acknowledged records that nobody had read].
    `realtime_lag`: the worst staleness in seconds that a process's polls show, and of which process and log.
    `consume_counts`: for processes that subscribed, how many records one process read so many times.
    """
    return {
        "counts": [
            {"action": action, "outcome": outcome, "count": count}
            for action, outcome, count in database.rows(
                "SELECT action, outcome, count(*) FROM op GROUP BY ALL ORDER BY ALL"
            )
        ],
        "records_sent": database.number("SELECT count(*) FROM writes"),
        "records_acknowledged": database.number("SELECT count(*) FROM writes WHERE outcome = 'ok'"),
        "reads": database.number("SELECT count(*) FROM rd"),
        "keyed_pairs": database.number(_KEYED_PAIRS),
        "unseen": _unseen(database),
        "realtime_lag": _lag(database),
        "consume_counts": {str(times): records for times, records in database.rows(_CONSUMED)},
    }


# What the rule `reordered` compares.
_KEYED_PAIRS = f"""
    SELECT coalesce(sum(n - 1), 0)::BIGINT FROM (
        SELECT count(*) AS n FROM {ORDERED} GROUP BY process, log, writes.key)"""

# A record is unseen from its acknowledgement to the end of the first operation that read it.
_UNSEEN = f"""
    WITH ends AS (SELECT min(began) AS t0, greatest(max(began), max(ended)) AS t1 FROM op),
    change AS (
        SELECT o.ended AS at_, 1 AS n, t0, t1 FROM writes s JOIN op o USING (op), ends WHERE s.outcome = 'ok'
        UNION ALL
        SELECT greatest(o.ended, s.seen_at), -1, t0, t1 FROM writes s JOIN op o USING (op), ends
        WHERE s.outcome = 'ok' AND s.seen_at IS NOT NULL),
    bucket AS (
        SELECT ceil((at_ - t0) * {POINTS}.0 / greatest(t1 - t0, 1))::INTEGER AS b, sum(n) AS n
        FROM change GROUP BY b)
    SELECT (g.b * (t1 - t0) / {POINTS})::BIGINT, sum(coalesce(n, 0)) OVER (ORDER BY g.b)
    FROM range({POINTS} + 1) g(b) CROSS JOIN ends LEFT JOIN bucket ON bucket.b = g.b ORDER BY g.b"""


def _unseen(database: Database) -> list[list[int]]:
    # Without any operation there is no time, and so no curve.
    return [[int(at), int(count or 0)] for at, count in database.rows(_UNSEEN) if at is not None]


# After Jepsen's realtime-lag: a poll that has read a log up to index i began so long after i + 1 was known to
# be there. Between two reads of a log by a process, without a new assignment (`epoch`), the last poll before
# the second read shows the most. What a process never read of a log is not looked at here; `unseen` is.
# One that was sent to an earlier position is late by its own wish until it has read what was known then.
_LAG = """
    WITH known AS (
        SELECT log, e.first AS idx, least(o.ended, seen_at) AS at_ FROM writes e JOIN op o USING (op)
        WHERE e.places > 0 AND least(o.ended, seen_at) IS NOT NULL),
    there AS (
        SELECT log, idx, min(at_) OVER (PARTITION BY log ORDER BY idx DESC ROWS UNBOUNDED PRECEDING) AS since
        FROM known),
    epochs AS (
        SELECT op, process, began, lag(began) OVER mine AS poll_before,
               sum((action IN ('assign', 'subscribe'))::INTEGER) OVER mine AS epoch
        FROM op WHERE action IN ('assign', 'subscribe') OR (outcome = 'ok' AND action IN ('poll', 'txn'))
        WINDOW mine AS (PARTITION BY process ORDER BY op)),
    polls AS (SELECT *, max(began) OVER (PARTITION BY process, epoch) AS last_poll FROM epochs),
    reached AS (
        SELECT rd.op, rd.log, max(s.last) AS idx FROM rd JOIN writes s USING (w)
        WHERE rd.outcome = 'ok' AND s.places > 0 GROUP BY ALL),
    sent_back AS (
        SELECT p.process, p.epoch, logs.id AS log, p.began FROM epochs p
        JOIN marks m ON m.op = p.op AND m.kind = 'sought' JOIN logs ON logs.log = m.log),
    wished AS (
        SELECT b.process, b.epoch, b.log, t.idx FROM sent_back b
        ASOF JOIN (SELECT log, since, max(idx) AS idx FROM there GROUP BY ALL) t
        ON t.log = b.log AND b.began >= t.since),
    gap AS (
        SELECT p.process, p.epoch, r.log, max(r.idx) OVER seen AS idx,
               greatest(p.began, coalesce(lead(p.poll_before) OVER seen, p.last_poll)) AS looked_at
        FROM reached r JOIN polls p USING (op)
        WINDOW seen AS (PARTITION BY p.process, p.epoch, r.log ORDER BY p.op))
    SELECT looked_at - since AS lag, processes.process, logs.log, looked_at
    FROM gap JOIN there ON there.log = gap.log AND there.idx = gap.idx + 1
    LEFT JOIN wished w ON w.process = gap.process AND w.epoch = gap.epoch AND w.log = gap.log
    JOIN processes ON processes.id = gap.process JOIN logs ON logs.id = gap.log
    WHERE w.idx IS NULL OR gap.idx >= w.idx
    ORDER BY lag DESC LIMIT 1"""


def _lag(database: Database) -> dict[str, Any]:
    rows = database.rows(_LAG)
    if not rows or rows[0][0] <= 0:
        return {"seconds": 0.0}
    lag, process, log, at = rows[0]
    return {"seconds": lag / 1e9, "process": process, "log": log, "at": at}


_CONSUMED = """
    SELECT times, count(*) FROM (
        SELECT count(*) AS times FROM rd
        WHERE outcome = 'ok' AND process IN (SELECT process FROM op WHERE action = 'subscribe')
        GROUP BY process, w) GROUP BY times ORDER BY times"""
