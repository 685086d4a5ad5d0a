"""The circuit breakers of an application as rows, and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.cli.rows import Column, fitting_table
from holdfast.cli.words import counted, span
from holdfast.engine.breaker_log import BreakerLog, Heard, Report
from holdfast.resilience import CircuitState
from holdfast.topology import Topology

_COLOURS: Final = {"closed": "green", "open": "red", "half-open": "yellow"}

_BREAKERS: Final = (
    Column("processor", name=True),
    Column("worker", name=True),
    Column("sink", name=True),
    Column("state"),
    Column("for", right=True, drop=5),
    Column("failed", right=True, drop=4),
    Column("slow", right=True, drop=1),
    Column("calls", right=True, drop=2),
    Column("tries again", drop=6),
    Column("paused shards", short="paused", drop=7),
    Column("seen", right=True, drop=3),
)


def breaker_rows(log: BreakerLog, declared: Topology, now: datetime) -> list[dict[str, Any]]:
    """One row for each breaker that a worker told of, and for each that no worker has told of yet."""
    ends: dict[int | None, datetime | None] = {each.offset: each.until for each in log.orders.values()}
    heard = sorted(
        log.reports.values(), key=lambda it: (it.report.processor, it.report.slot, it.report.sinks)
    )
    rows = [_row(each, ends, now) for each in heard]
    known = {(each.report.processor, sink) for each in heard for sink in each.report.sinks}
    missing = [
        _unheard(name, sink)
        for name, decl in declared.native.items()
        for sink in decl.downstreams
        if (name, sink) not in known
    ]
    order = list(declared.processors)
    return sorted(
        [*rows, *missing], key=lambda row: order.index(row["processor"]) if row["processor"] in order else -1
    )


def _row(heard: Heard, ends: Mapping[int | None, datetime | None], now: datetime) -> dict[str, Any]:
    report, age = heard.report, heard.age_s(now)
    forced = report.order is not None and report.state is CircuitState.METRICS_ONLY
    return {
        **_unheard(report.processor, ",".join(report.sinks)),
        "slot": report.slot,
        "host": report.host,
        "pid": report.pid,
        "state": "forced closed" if forced else report.state.words,
        "state_s": round(report.state_s + age, 1),
        "failure_rate": report.failure_rate,
        "slow_call_rate": report.slow_call_rate,
        "calls": report.calls,
        "succeeded": report.succeeded,
        "failed": report.failed,
        "refused": report.refused,
        "tries_again_s": _wait(report, age, ends.get(report.order), now),
        "reason": report.reason,
        "trouble": report.trouble,
        "paused": list(report.paused),
        "stale": heard.is_stale(now),
        "seen_s": round(age, 1),
    }


def _unheard(processor: str, sink: str) -> dict[str, Any]:
    """A breaker that no worker has told of: its processor does not run, or never did."""
    return {
        "type": "breaker",
        "processor": processor,
        "slot": None,
        "host": None,
        "pid": None,
        "sink": sink,
        "state": None,
        "state_s": None,
        "failure_rate": None,
        "slow_call_rate": None,
        "calls": None,
        "succeeded": None,
        "failed": None,
        "refused": None,
        "tries_again_s": None,
        "reason": "",
        "trouble": "",
        "paused": [],
        "stale": False,
        "seen_s": None,
    }


def _wait(report: Report, age: float, end: datetime | None, now: datetime) -> float | None:
    """Seconds until a call may pass; None where calls pass anyway, or only a further order changes that.

    A closed breaker's system is waited for as well, when it asked for a pause or has just failed.

    Args:
        report: what its worker told.
        age: how many seconds ago.
        end: when the order ends by itself that it follows.
        now: the time.
    """
    if report.state is CircuitState.FORCED_OPEN:
        return None if end is None else round(max((end - now).total_seconds(), 0.0), 1)
    is_shut = report.state in (CircuitState.OPEN, CircuitState.HALF_OPEN)
    waits = [it for it in (report.wait_s if is_shut else None, report.pause_s) if it is not None]
    return round(max(max(waits) - age, 0.0), 1) if waits else None


def order_rows(log: BreakerLog, now: datetime) -> Iterator[dict[str, Any]]:
    """The orders that hold, by sink."""
    for sink, standing in sorted(log.orders.items()):
        if not standing.holds(now):
            continue
        followers = log.followers(sink, now)
        yield {
            "type": "order",
            "sink": sink,
            "mode": standing.order.mode,
            "by": standing.order.by,
            "why": standing.order.why,
            "at": standing.at.isoformat(),
            "until": standing.until.isoformat() if standing.until else None,
            "followed_by": sum(followers.values()),
            "breakers": len(followers),
        }


def breakers_table(console: Console, rows: Sequence[Mapping[str, Any]]) -> Table:
    """The breakers as a table that fits the console."""
    return fitting_table(console, _BREAKERS, [_cells(row) for row in rows])


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        escape(row["processor"]),
        escape(row["slot"] or ""),
        escape(row["sink"].replace(",", ", ")),
        _state(row),
        "" if row["state_s"] is None else span(row["state_s"]),
        _rate(row["failure_rate"]),
        _rate(row["slow_call_rate"]),
        "" if row["calls"] is None else f"{row['calls']:,}",
        _tries(row),
        _ranges(row["paused"]),
        "" if row["seen_s"] is None else f"{span(row['seen_s'])} ago",
    )


def _state(row: Mapping[str, Any]) -> str:
    if row["state"] is None:
        return "no worker"
    if row["stale"]:
        return f"[red]stale[/] (was {row['state']})"
    colour = _COLOURS.get(row["state"], "magenta")
    return f"[{colour}]{row['state']}[/]"


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.0%}"


def _ranges(numbers: Sequence[int]) -> str:
    """Numbers in their order, those that follow each other as a range: ``0-3, 7``."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1][1:] = [number]
        else:
            ranges.append([number])
    return ", ".join("-".join(map(str, each)) for each in ranges)


def _tries(row: Mapping[str, Any]) -> str:
    if row["tries_again_s"] is None:
        return "when released" if row["state"] == "forced open" else ""
    return f"in {span(row['tries_again_s'])}" if row["tries_again_s"] else "with the next record"


def remarks(row: Mapping[str, Any]) -> str:
    """Why a breaker is as it is, in a line; nothing for one that is closed and whose system answers.

    Why one closed, perhaps long ago, explains nothing of what its system says now.
    """
    if row["state"] is None:
        return ""
    reason = row["reason"] if row["state"] != "closed" else ""
    parts = [reason, row["trouble"] if row["trouble"] != reason else ""]
    if row["stale"]:
        where = f"host {row['host']}, pid {row['pid']}"
        parts.append(f"its worker ({where}) has said nothing for {span(row['seen_s'])}")
    return "; ".join(part for part in parts if part)


def order_text(row: Mapping[str, Any]) -> str:
    """An order that holds, as a sentence."""
    until = f", until {_time(row['until'])} UTC" if row["until"] else ""
    why = f": {row['why']}" if row["why"] else ""
    follow = counted(row["breakers"], "breaker")
    return (
        f"{row['sink']} is forced {row['mode']} by {row['by']} since {_time(row['at'])} UTC{until}{why} "
        f"(followed by {row['followed_by']:,} of {follow})"
    )


def _time(iso: str) -> str:
    return f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M:%S}"
