"""Sealing: the recordings of a run become one folder of Parquet files, which people keep and query."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from holdfast.chaos.history.database import Bounds, Database, quoted
from holdfast.chaos.history.lines import VERSION
from holdfast.chaos.history.recorder import SUFFIX
from holdfast.chaos.history.sealed import FORMAT, MANIFEST, History
from holdfast.chaos.history.tables import COLUMNS, ROWS
from holdfast.errors import HistoryError

_STEPS = "STRUCT(k VARCHAR, l VARCHAR, v BIGINT, i VARCHAR, o BIGINT)[]"
LINE = {
    "e": "VARCHAR",
    "op": "BIGINT",
    "time": "BIGINT",
    "process": "VARCHAR",
    "action": "VARCHAR",
    "steps": _STEPS,
    "error": "VARCHAR",
    "isolation": "VARCHAR",
    "assigned": "VARCHAR[]",
    "sought": "VARCHAR[]",
    "rebalanced": "VARCHAR[]",
    "kind": "VARCHAR",
    "data": "JSON",
    "table": "VARCHAR",
    "row": "JSON",
    "version": "INTEGER",
}
_AFTER_DONE = 1_000_000
"""Steps that an operation only tried are numbered from here, behind those that it returned."""
_PER_FILE = 1_000_000_000
"""Operations that one recording may hold."""
_TAIL = 1 << 20
"""Bytes that are looked at at once, from a file's end, for the end of its last whole line."""


def seal(
    recordings: Path,
    into: Path,
    *,
    about: Mapping[str, object] | None = None,
    bounds: Bounds = Bounds(),  # noqa: B008 # frozen
) -> History:
    """Makes one sealed history of all recordings in a folder; they stay as they are.

    Args:
        recordings: where the recorders wrote.
        into: the folder to make. It appears complete or not at all.
        bounds: what DuckDB may use.
        about: what else the history's manifest shall tell, such as the seed.

    Raises:
        HistoryError: there are no recordings, one is damaged elsewhere than at its end, `into` exists, or
            there is no room for it.
    """
    files = sorted(recordings.glob(f"*{SUFFIX}"))
    if not files:
        raise HistoryError(f"there are no recordings (*{SUFFIX}) in {recordings}")
    if into.exists():
        raise HistoryError(f"{into} exists: a sealed history is never changed; name another folder")
    try:
        _make(files, into, about or {}, bounds)
    except OSError as error:
        raise HistoryError(f"{into} cannot be made: {error.strerror or error}") from error
    return History(into)


def _make(files: list[Path], into: Path, about: Mapping[str, object], bounds: Bounds) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{into.name}-", dir=into.parent))
    try:
        with Database(bounds) as database:
            _read(database, [_whole_lines(file, draft) for file in files], files)
            for shape in _SHAPES:
                database.run(shape)
            _check_operations(database, files)
            counts = _write(database, draft)
            _check_steps(database, draft)
        for leftover in draft.glob(f"*{SUFFIX}"):
            leftover.unlink()
        manifest = {"format": FORMAT, "rows": counts, "recordings": len(files), "about": dict(about)}
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        draft.chmod(0o755)
        draft.rename(into)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _whole_lines(file: Path, draft: Path) -> Path:
    """The file, or a copy of it without the torn line at its end that a killed client left."""
    size = file.stat().st_size
    end = _end_of_last_line(file, size)
    if end == size:
        return file
    copy = draft / file.name
    with file.open("rb") as source, copy.open("wb") as target:
        left = end
        while left:
            block = source.read(min(left, _TAIL))
            target.write(block)
            left -= len(block)
    return copy


def _end_of_last_line(file: Path, size: int) -> int:
    with file.open("rb") as source:
        at = size
        while at > 0:
            begin = max(0, at - _TAIL)
            source.seek(begin)
            found = source.read(at - begin).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            at = begin
    return 0


def _read(database: Database, files: list[Path], originals: list[Path]) -> None:
    """Brings all lines into the table `lines`, with the number of their file."""
    columns = ", ".join(f"{quoted(name)}: {quoted(kind)}" for name, kind in LINE.items())
    database.run("CREATE TABLE files (file INTEGER, path VARCHAR)")
    for number, path in enumerate(files):
        database.run("INSERT INTO files VALUES (?, ?)", [number, str(path)])
    names = ", ".join(quoted(path) for path in files)
    with database.telling():
        try:
            database.connection.execute(f"""
                CREATE TABLE lines AS
                SELECT file, l.* EXCLUDE (filename)
                FROM read_json([{names}], format='newline_delimited', columns={{{columns}}}, filename=true) l
                JOIN files ON path = filename""")
        except database.malformed as error:
            raise HistoryError(
                f"a recording in {originals[0].parent} is damaged: {_first_line(error)}"
            ) from error
    _check_lines(database, originals)


def _check_lines(database: Database, originals: list[Path]) -> None:
    known = "'start', 'invoke', 'try', 'ok', 'fail', 'unknown', 'event', 'row'"
    strange = database.rows(f"""
        SELECT file, e, version FROM lines
        WHERE e IS NULL OR e NOT IN ({known}) OR (e = 'start' AND version <> {VERSION}) LIMIT 1""")
    if strange:
        file, what, version = strange[0]
        told = (
            f"of version {version}, and {VERSION} is read here"
            if what == "start"
            else f"with a line {what!r}"
        )
        raise HistoryError(f"{originals[file]} is not a recording: it is {told}")
    twice = database.rows("""
        SELECT file, op FROM lines WHERE e IN ('ok', 'fail', 'unknown') GROUP BY ALL
            HAVING count(*) > 1 LIMIT 1""")
    if twice:
        raise HistoryError(f"{originals[twice[0][0]]}: operation {twice[0][1]} ends more than once")


# Operations are numbered by file and within it, which keeps those of one process in their order without
# sorting.
# Without the type, DuckDB multiplies in 32 bits, which are not enough for a fourth file.
_OP = f"file::BIGINT * {_PER_FILE} + op"
_SHAPES = (
    f"""CREATE TABLE begun AS
    SELECT {_OP} AS op, process, action, time AS began FROM lines WHERE e = 'invoke'""",
    f"""CREATE TABLE over_ AS SELECT {_OP} AS op, time AS ended, e AS outcome, error, isolation
    FROM lines WHERE e IN ('ok', 'fail', 'unknown')""",
    f"""CREATE VIEW done AS
    SELECT {_OP} AS op, generate_subscripts(steps, 1)::INTEGER AS step, unnest(steps) AS s
    FROM lines WHERE e IN ('ok', 'fail', 'unknown') AND len(steps) > 0""",
    # Of what was named before it was tried, only the sends that are not in what the operation returned are of
    # interest.
    f"""CREATE TABLE tried AS
    SELECT {_OP} AS op, time, generate_subscripts(steps, 1) AS nth, unnest(steps) AS s
    FROM lines WHERE e IN ('invoke', 'try') AND len(steps) > 0""",
)
_ONLY_TRIED = f"""
    SELECT t.op, {_AFTER_DONE} + row_number() OVER (PARTITION BY t.op ORDER BY t.time, t.nth), t.s
    FROM tried t ANTI JOIN (SELECT op, s FROM done WHERE s.k = 'send') d
    ON d.op = t.op AND d.s.v = t.s.v AND d.s.l = t.s.l AND d.s.i IS NOT DISTINCT FROM t.s.i"""
_QUERIES = {
    "operations": """
        SELECT op, process, action, began, ended, coalesce(outcome, 'unknown') AS outcome,
               CASE WHEN outcome IS NULL THEN 'it never returned' ELSE error END AS error,
               coalesce(isolation, 'read_committed') AS isolation
        FROM begun LEFT JOIN over_ USING (op)""",
    "steps": f"""
        SELECT op, step::INTEGER AS step, s.k AS kind, s.l AS log, s.i AS key, s.v AS value, s.o AS "offset"
        FROM (FROM done UNION ALL {_ONLY_TRIED})""",
    "marks": f"""
        SELECT op, kind, unnest(logs) AS log FROM (
            SELECT {_OP} AS op, unnest(['assigned', 'sought', 'rebalanced']) AS kind, unnest([assigned,
                sought, rebalanced]) AS logs
            FROM lines WHERE len(assigned) > 0 OR len(sought) > 0 OR len(rebalanced) > 0)""",
    "events": "SELECT time, kind, data FROM lines WHERE e = 'event'",
    **{
        table: f"""SELECT unnest(from_json("row", '{json.dumps(dict(COLUMNS[table]))}'))
        FROM lines WHERE e = 'row' AND "table" = '{table}'"""
        for table in ROWS
    },
}


def _check_operations(database: Database, files: list[Path]) -> None:
    """What no recorder writes: no query would miss them, and all would be wrong."""
    problems = {
        "ends, and never began": "SELECT op FROM over_ ANTI JOIN begun USING (op)",
        "has no process or action": """
            SELECT op FROM begun WHERE process IS NULL OR action IS NULL OR began IS NULL""",
        "ended before it began (all processes have to share one clock)": """
            SELECT op FROM over_ JOIN begun USING (op) WHERE ended IS NULL OR ended < began""",
    }
    for problem, query in problems.items():
        rows = database.rows(f"{query} LIMIT 1")
        if rows:
            file, op = divmod(rows[0][0], _PER_FILE)
            raise HistoryError(f"{files[file]}: operation {op} {problem}")


def _check_steps(database: Database, folder: Path) -> None:
    rows = database.rows(f"""
        SELECT op FROM read_parquet({quoted(folder / "steps.parquet")})
        WHERE kind IS NULL OR kind NOT IN ('send', 'read') OR log IS NULL OR value IS NULL LIMIT 1""")
    if rows:
        raise HistoryError(
            f"a step of operation {rows[0][0]} is neither a send nor a read of a value of a log"
        )


def _write(database: Database, folder: Path) -> dict[str, int]:
    counts = {}
    for table, query in _QUERIES.items():
        path = folder / f"{table}.parquet"
        counts[table] = database.number(
            f"COPY ({query}) TO {quoted(path)} (FORMAT parquet, COMPRESSION zstd)"
        )
        with path.open("rb") as written:
            os.fsync(written.fileno())
    return counts


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
