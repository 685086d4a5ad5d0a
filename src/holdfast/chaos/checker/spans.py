"""Where circles can be: the spans of time that the edges which go back in time cover.

Every operation stands at one instant. A circle that holds two instants a < b must get back from b or later
to a or earlier, over every cut between them; so each cut is crossed by an edge that goes back. Hence all of
a circle, and of a strongly connected component, lies within one interval of the union of [instant of the
target, instant of the source] over the edges that do not go forward. Circles are looked for inside these
spans only. In a correct history they are few and short, because of the choice of the instants:

- An operation without reads depends only on what ended before it began: it stands at its beginning.
- One with reads stands at its end, when all that it read was there.

Only a transaction's steps belong together: what another operation sent may have been sent before it read
anything, as a request is before its answer. So nothing flows through one that does both, but by the order in
its process and in time.

The order in time (an operation ended before another began) always goes forward then. Only reads, writes
over writes, and operations of one process that overlap or touch can go back.
"""

from __future__ import annotations

from holdfast.chaos.history.database import Database
from holdfast.chaos.history.model import TRANSACTION

READ, OVERWRITE, PROCESS, TIME = 0, 1, 2, 3
"""Labels of edges: read a record of; wrote behind; came after in its process; came after in time."""

_APART = f"""
    CREATE TABLE apart AS SELECT op FROM op WHERE action <> '{TRANSACTION}'
        AND op IN (SELECT op FROM writes) AND op IN (SELECT op FROM rd WHERE committed)"""
# A read_uncommitted reader may see what is not committed, so nothing follows from what it read.
_NODES = """
    CREATE TABLE node AS
    SELECT o.op, o.process, o.began, o.ended, o.outcome,
           CASE WHEN n.reads AND o.ended IS NOT NULL THEN o.ended ELSE o.began END AS instant
    FROM op o JOIN (SELECT op, bool_or(reads) AS reads
                    FROM (SELECT op, false AS reads FROM writes WHERE outcome <> 'fail'
                          UNION ALL SELECT op, true FROM rd WHERE committed) GROUP BY op) n USING (op)"""
_READS = f"""
    SELECT s.op AS u, rd.op AS v, {READ} AS label FROM rd JOIN writes s USING (w)
    WHERE rd.committed AND s.op <> rd.op AND s.outcome <> 'fail' AND s.op NOT IN (SELECT op FROM apart)"""
# What an operation of unknown outcome did may happen later than what its process did next.
_PROCESS = f"""
    SELECT u, v, {PROCESS} AS label FROM (
        SELECT op AS v, last_value(CASE WHEN outcome <> 'unknown' THEN op END IGNORE NULLS)
               OVER (PARTITION BY process ORDER BY op
                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS u FROM node)
    WHERE u IS NOT NULL"""
_OVERWRITES = f"""
    SELECT DISTINCT u, v, {OVERWRITE} AS label FROM (
        SELECT writes.op AS v, lag(writes.op) OVER (PARTITION BY e.log ORDER BY e.idx, e.w) AS u
        FROM entry e JOIN writes ON writes.w = e.w AND writes.places = 1 AND writes.outcome <> 'fail')
    WHERE u IS NOT NULL AND u <> v AND u NOT IN (SELECT op FROM apart)"""


def find(database: Database, *, with_overwrites: bool) -> int:
    """Finds the spans and what is in them, in the tables `node`, `link` (no edges in time), `span`, `member`.

    Returns:
        the number of spans.
    """
    database.run(_APART)
    database.run(_NODES)
    links = [_READS, _PROCESS, *([_OVERWRITES] if with_overwrites else [])]
    database.run(f"CREATE VIEW link AS {' UNION ALL '.join(f'({link})' for link in links)}")
    database.run("""
        CREATE TABLE back AS SELECT b.instant AS lo, a.instant AS hi
        FROM link JOIN node a ON a.op = u JOIN node b ON b.op = v WHERE a.instant >= b.instant""")
    database.run("""
        CREATE TABLE span AS SELECT id::INTEGER AS id, min(lo) AS lo, max(hi) AS hi FROM (
            SELECT lo, hi, sum(CASE WHEN lo <= reached THEN 0 ELSE 1 END) OVER (ORDER BY lo, hi
                ROWS UNBOUNDED PRECEDING) AS id
            FROM (SELECT lo, hi, max(hi) OVER (ORDER BY lo, hi ROWS BETWEEN UNBOUNDED PRECEDING
                AND 1 PRECEDING) AS reached FROM back)
        ) GROUP BY id""")
    spans = database.number("SELECT count(*) FROM span")
    if spans:
        database.run("""
            CREATE TABLE member AS
            SELECT span.id AS span, n.op, n.began, CASE WHEN n.outcome <> 'unknown' THEN n.ended END AS over_,
                   (row_number() OVER (PARTITION BY span.id ORDER BY n.op) - 1)::INTEGER AS local
            FROM node n ASOF JOIN span ON n.instant >= span.lo WHERE n.instant <= span.hi""")
    return spans


MEMBERS = "SELECT span, op, began, over_ FROM member ORDER BY span, local"
"""The operations of each span by their local numbers: span, op, beginning, end if it is over for certain."""

LINKS = """
    SELECT DISTINCT a.span, a.local, b.local, label
    FROM link JOIN member a ON a.op = u JOIN member b ON b.op = v AND b.span = a.span ORDER BY ALL"""
"""The edges inside of spans: span, source, target, label."""
