"""Medians, ratios, the machine's description; as a terminal table, JSON and Markdown."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.table import Table

from benchmarks.measure import Measurement


@dataclass(frozen=True, slots=True)
class Row:
    """All rounds of one engine on one job with one guarantee.

    Attributes:
        rate: median events/s; `rate_min` and `rate_max` are the extremes.
        per_cpu_s: events per CPU second from the first record on, from the medians.
        to_bare: rate over the bare loop's rate on the same job; None if it did not run.
        to_tuned_bare: the same with the tuned bare loop.
        holdfast_ahead: Holdfast's rate over this one, same job and guarantee; None if it did not run.
        failures: rounds with wrong results or none.
    """

    engine: str
    job: str
    guarantee: str
    rounds: int
    events: int
    rate: float
    rate_min: float
    rate_max: float
    rate_with_startup: float
    rate_second_half: float
    cpu_s: float
    cpu_total_s: float
    per_cpu_s: float
    peak_mb: float
    startup_s: float
    to_bare: float | None
    to_tuned_bare: float | None
    holdfast_ahead: float | None
    failures: int


def summarise(measurements: Iterable[Measurement]) -> list[Row]:
    """One row for each engine, job and guarantee, in the order of their first measurement."""
    groups: dict[tuple[str, str, str], list[Measurement]] = {}
    for one in measurements:
        groups.setdefault((one.job, one.guarantee, one.engine), []).append(one)
    rates = {key: median(rates) for key, found in groups.items() if (rates := _good_rates(found))}
    rows = [_row(found, rates) for found in groups.values()]
    return sorted(
        rows, key=lambda row: (row.job != "totals", row.job, row.guarantee != "none", row.guarantee)
    )


def _good_rates(found: list[Measurement]) -> list[float]:
    return [one.rate for one in found if one.rate > 0]


def _row(found: list[Measurement], rates: dict[tuple[str, str, str], float]) -> Row:
    one = found[0]
    worked = [each for each in found if each.rate > 0]
    rate = rates.get((one.job, one.guarantee, one.engine), 0.0)
    bare = rates.get((one.job, "none", "bare"))
    tuned_bare = rates.get((one.job, "none", "bare-tuned"))
    holdfast = rates.get((one.job, one.guarantee, "holdfast"))

    def middle(value: Callable[[Measurement], float]) -> float:
        return median(map(value, worked)) if worked else 0.0

    cpu_s = middle(lambda each: each.cpu_s)
    return Row(
        engine=one.engine,
        job=one.job,
        guarantee=one.guarantee,
        rounds=len(found),
        events=one.events,
        rate=rate,
        rate_min=min(_good_rates(found), default=0.0),
        rate_max=max(_good_rates(found), default=0.0),
        rate_with_startup=middle(lambda each: each.rate_with_startup),
        rate_second_half=middle(lambda each: each.rate_second_half),
        cpu_s=cpu_s,
        cpu_total_s=middle(lambda each: each.cpu_total_s),
        per_cpu_s=one.events / cpu_s if cpu_s else 0.0,
        peak_mb=middle(lambda each: each.peak_mb),
        startup_s=middle(lambda each: each.startup_s),
        to_bare=rate / bare if bare and rate else None,
        to_tuned_bare=rate / tuned_bare if tuned_bare and rate else None,
        holdfast_ahead=holdfast / rate if holdfast and rate else None,
        failures=sum(1 for each in found if each.problems),
    )


COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("job", lambda row: row.job),
    ("guarantee", lambda row: row.guarantee),
    ("engine", lambda row: row.engine),
    ("events/s", lambda row: f"{row.rate:,.0f}"),
    ("min - max", lambda row: f"{row.rate_min:,.0f} - {row.rate_max:,.0f}"),
    ("with start-up", lambda row: f"{row.rate_with_startup:,.0f}"),
    ("second half", lambda row: f"{row.rate_second_half:,.0f}"),
    ("CPU s", lambda row: f"{row.cpu_s:.1f}"),
    ("CPU s with start-up", lambda row: f"{row.cpu_total_s:.1f}"),
    ("events/CPU s", lambda row: f"{row.per_cpu_s:,.0f}"),
    ("peak MB", lambda row: f"{row.peak_mb:,.0f}"),
    ("of bare", lambda row: _share(row.to_bare)),
    ("of tuned bare", lambda row: _share(row.to_tuned_bare)),
    ("Holdfast is", lambda row: "" if row.holdfast_ahead is None else f"{row.holdfast_ahead:.2f}x"),
    ("results", lambda row: f"{row.failures} of {row.rounds} WRONG" if row.failures else _verdict(row)),
)

LABELS = {"job", "guarantee", "engine"}
UNBROKEN = LABELS | {"min - max", "events/s"}


def _share(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.3f}"


def _verdict(row: Row) -> str:
    return "not checked" if row.guarantee == "none" and row.job == "totals" else "right"


def table(rows: list[Row]) -> Table:
    """The rows for a terminal."""
    drawn = Table(title="events/s: from the first record to the last commit, median of the rounds")
    for title, _ in COLUMNS:
        drawn.add_column(title, justify="left" if title in LABELS else "right", no_wrap=title in UNBROKEN)
    before = rows[0] if rows else None
    for row in rows:
        if before and (row.job, row.guarantee) != (before.job, before.guarantee):
            drawn.add_section()
        drawn.add_row(*(show(row) for _, show in COLUMNS), style="red" if row.failures else None)
        before = row
    return drawn


def markdown(rows: list[Row], facts: dict[str, Any]) -> str:
    """The rows and what they were measured on, for docs/benchmarks.md."""
    lines = [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", "| " + " | ".join(title for title, _ in COLUMNS) + " |"]
    lines.append("|" + "|".join("---" if title in LABELS else "---:" for title, _ in COLUMNS) + "|")
    lines += ["| " + " | ".join(show(row) for _, show in COLUMNS) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    memory = psutil.virtual_memory().total
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} cores ({_cpu_model()}), {memory / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load at the start": f"{os.getloadavg()[0]:.2f}",
    }


def versions(measurements: Iterable[Measurement]) -> str:
    """Engine versions, as the engines themselves reported them."""
    found = {one.engine: one.versions for one in measurements if one.versions}
    return "; ".join(
        f"{engine} ({', '.join(f'{name} {number}' for name, number in named.items())})"
        for engine, named in found.items()
    )


def write_json(path: Path, facts: dict[str, Any], measurements: list[Measurement], rows: list[Row]) -> None:
    """Everything that was measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "facts": facts,
        "summary": [asdict(row) for row in rows],
        "measurements": [asdict(one) for one in measurements],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def replace_section(path: Path, text: str, *, mark: str) -> None:
    """Put `text` between `<!-- mark -->` and `<!-- /mark -->` of the file `path`."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, found, rest = path.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{path} has no section {begin} ... {end}")
    path.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}")


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
