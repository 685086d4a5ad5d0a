"""The lines of a recording: one JSON object each, with short names, since there are two for every operation.

    {"e": "start", "version": 1, "time": ns, "wall": ns since 1970, "name": ...}      first line of every file
    {"e": "invoke", "op": 1, "time": ns, "process": ..., "action": ..., "steps": [...]}
    {"e": "try", "op": 1, "time": ns, "steps": [...]}                                    more sends, before
    they are tried
    {"e": "ok" | "fail" | "unknown", "op": 1, "time": ns, "steps": [...], ...}
    {"e": "event", "time": ns, "kind": ..., "data": {...}}
    {"e": "row", "table": "outputs", "row": {...}}                                     a row of one of
    `tables.ROWS`

A step is `{"k": "send" | "read", "l": log, "i": key, "v": value, "o": offset}`. `op` counts within its
file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from holdfast.chaos.history.model import Event, Isolation, Outcome, Step

VERSION = 1
_encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def start(at: int, wall: int, name: str) -> bytes:
    """The first line: which recorder this is, and what its clock shows at which time of day."""
    return _line({"e": "start", "version": VERSION, "time": at, "wall": wall, "name": name})


def invoke(op: int, at: int, process: str, action: str, steps: Iterable[Step]) -> bytes:
    """An operation is about to be tried."""
    return _line(
        {"e": "invoke", "op": op, "time": at, "process": process, "action": action, "steps": _steps(steps)}
    )


def tries(op: int, at: int, steps: Iterable[Step]) -> bytes:
    """The operation is about to try more sends."""
    return _line({"e": "try", "op": op, "time": at, "steps": _steps(steps)})


def complete(
    op: int,
    at: int,
    outcome: Outcome,
    *,
    steps: Iterable[Step] = (),
    error: str | None = None,
    isolation: Isolation = Isolation.COMMITTED,
    assigned: Iterable[str] = (),
    sought: Iterable[str] = (),
    rebalanced: Iterable[str] = (),
) -> bytes:
    """An operation has returned."""
    line: dict[str, object] = {"e": str(outcome), "op": op, "time": at}
    optional = {
        "steps": _steps(steps),
        "error": error,
        "isolation": None if isolation is Isolation.COMMITTED else str(isolation),
        "assigned": list(assigned),
        "sought": list(sought),
        "rebalanced": list(rebalanced),
    }
    line.update((name, value) for name, value in optional.items() if value)
    return _line(line)


def event(what: Event) -> bytes:
    """Something beside the operations."""
    return _line({"e": "event", "time": what.at, "kind": what.kind, "data": dict(what.data)})


def row(table: str, values: Mapping[str, object]) -> bytes:
    """A row of another table."""
    return _line({"e": "row", "table": table, "row": dict(values)})


def _line(what: dict[str, object]) -> bytes:
    return _encoder.encode(what).encode() + b"\n"


def _steps(steps: Iterable[Step]) -> list[dict[str, object]]:
    return [_step(step) for step in steps]


def _step(step: Step) -> dict[str, object]:
    out: dict[str, object] = {"k": step.kind, "l": step.log, "v": step.value}
    if step.key is not None:
        out["i"] = step.key
    if step.offset is not None:
        out["o"] = step.offset
    return out
