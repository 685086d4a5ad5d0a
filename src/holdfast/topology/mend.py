"""Makes a mistaken declaration valid, so that the rest of it can be checked in the same run.

What is mistaken is cut out if it may be missing, and else replaced by a stand-in. Nothing is told about
what stands at such a place, or below it, beside its own problem.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic_core import ErrorDetails

from holdfast.declaration.source import Location
from holdfast.topology.translate import location

_REFERENCE = "holdfast:Event"
"""Is never looked up: no reference at a mended place is."""

NO_TOPICS: Mapping[str, Any] = {"stand-in": {"events": [_REFERENCE], "partitions": 1}}
"""Topics of a file that has none."""

# Required keys, by section. Those in lists stand for each entry of the list.
_STAND_INS: Mapping[tuple[str | int, str | int], Any] = {
    ("topics", "events"): [_REFERENCE],
    ("topics", "partitions"): 1,
    ("processors", "handler"): _REFERENCE,
    ("processors", "agent"): _REFERENCE,
    ("processors", "reads"): ["stand-in"],
    ("sinks", "dsn"): "stand-in",
    ("sinks", "url"): "http://stand-in",
    ("sinks", "path"): "/stand-in",
    ("sinks", "sink"): _REFERENCE,
    ("producers", "source"): _REFERENCE,
    ("producers", "writes"): ["stand-in"],
    ("leader_tasks", "task"): _REFERENCE,
    # Not required, but one of them is: cut out, they would be missed.
    ("leader_tasks", "every"): "1h",
    ("leader_tasks", "cron"): "0 0 * * *",
}


def mend(data: dict[str, Any], detail: ErrorDetails, depth: int) -> tuple[dict[str, Any], Location]:
    """Return the declaration without one mistake, and the place that was mended.

    Args:
        data: the declaration as plain data.
        detail: the mistake.
        depth: how many steps the way to the place may have; below 3 whole entries are cut out.
    """
    at = location(detail)[:depth]
    stand_in = _STAND_INS.get((at[0], at[2])) if len(at) > 2 else None
    if at == ("topics",):
        data = {**data, "topics": NO_TOPICS}
    elif at[0] == "checks" and len(at) == 2 and "checks" in data:
        data = {**data, "checks": _replaced(data["checks"], at[1], _REFERENCE)}
    elif detail["type"] == "union_tag_invalid" and at[0] == "sinks":
        # Nothing tells what it is meant to be.
        at = at[:2]
        data = _cut(data, at)
    elif detail["type"] == "union_tag_invalid" and _is_faust(data, at):
        data = _stood_in(data, at, "faust")
    elif stand_in is None or detail["type"] == "extra_forbidden":
        data = _cut(data, at)
    elif _has_entry(data, at):  # else another mistake has cut it out
        data = _stood_in(data, at, stand_in)
    return data, at


def covers(mended: Collection[Location], at: Location) -> bool:
    """Tell whether a place was mended, or lies in one that was."""
    return any(at[:length] in mended for length in range(1, len(at) + 1))


def _has_entry(data: dict[str, Any], at: Location) -> bool:
    return str(at[1]) in data.get(str(at[0]), {})


def _is_faust(data: dict[str, Any], at: Location) -> bool:
    """Tell what a processor with an unknown runtime is meant to be."""
    return len(at) > 2 and _has_entry(data, at) and "agent" in data[str(at[0])][str(at[1])]


def _stood_in(data: dict[str, Any], at: Location, stand_in: Any) -> dict[str, Any]:
    """Return the declaration with a stand-in for a required key, or for one entry of its list."""
    section, name, key = str(at[0]), str(at[1]), str(at[2])
    entry = {part: value for part, value in data[section][name].items() if (key, part) != ("events", "event")}
    if len(at) > 3 and isinstance(entry.get(key), list):
        stand_in = _replaced(entry[key], at[3], stand_in[0])
    return {**data, section: {**data[section], name: {**entry, key: stand_in}}}


def _replaced(items: list[Any], index: str | int, by: Any) -> list[Any]:
    return [by if place == index else item for place, item in enumerate(items)]


def _cut(data: dict[str, Any], at: Location) -> dict[str, Any]:
    """Return the mapping without what stands at `at`."""
    key, rest = str(at[0]), at[1:]
    inner = data.get(key)
    if rest and isinstance(inner, dict):
        return {**data, key: _cut(inner, rest)}
    return {name: value for name, value in data.items() if name != key}
