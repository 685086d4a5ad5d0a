"""From the runs of a series to the tables of docs/reliability.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.chaos.plan import Kind
from benchmarks.chaos.results import KeptRun
from holdfast.chaos.report.recovery import spread

_NONE = "–"


@dataclass
class Series:
    """All runs of one workload on one engine.

    Attributes:
        kind: the workload and the engine.
        runs: what they were.
    """

    kind: Kind
    runs: list[KeptRun] = field(default_factory=list)

    def count(self, validity: str) -> int:
        """How many runs have that verdict."""
        return sum(run.validity == validity for run in self.runs)

    @property
    def events(self) -> int:
        """Published in all runs."""
        return sum(run.counts.get("published", 0) for run in self.runs)

    @property
    def faults(self) -> int:
        """Done in all runs."""
        return sum(run.faults for run in self.runs)

    @property
    def unknown_sends(self) -> int:
        """Sends whose fate their clients do not know."""
        return sum(run.counts.get("unknown", 0) for run in self.runs)


Times = Mapping[str, Sequence[float | None]]
"""Seconds by fault; None where the next fault came before they were known."""


def by_kind(runs: Iterable[KeptRun], kinds: Iterable[Kind]) -> list[Series]:
    """The runs of each kind that has some."""
    known = list(runs)
    found = [
        Series(kind, [run for run in known if (run.workload, run.engine) == (kind.workload, kind.engine)])
        for kind in kinds
    ]
    return [one for one in found if one.runs]


def verdicts(found: Iterable[Series]) -> str:
    """What became of the runs, as Markdown."""
    lines = [
        "| workload | engine | runs | valid | invalid | unknown | events | faults | sends of unknown fate |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in found:
        counts = (one.count(validity) for validity in ("valid", "invalid", "unknown"))
        figures = (len(one.runs), *counts, one.events, one.faults, one.unknown_sends)
        texts = (one.kind.workload, one.kind.engine, *(f"{figure:,}" for figure in figures))
        lines.append(f"| {' | '.join(texts)} |")
    return "\n".join(lines)


def recovery(found: Sequence[Series], what: str, *, by: str) -> str:
    """How long each fault was felt, one column for each series, as Markdown.

    Args:
        found: the series.
        what: `back_to_normal` or `longest_gap`.
        by: what tells the series apart: `workload` or `engine`.

    A cell has p50 / p95 / longest and of how many; `+2` are those that the next fault came too early for.
    """
    columns = [_times(one, what) for one in found]
    head = [f"fault: {what.replace('_', ' ')}, s", *(f"`{getattr(one.kind, by)}`" for one in found)]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * len(found)}"]
    lines += (
        f"| `{fault}` | {' | '.join(_cell(times.get(fault, ())) for times in columns)} |"
        for fault in sorted({fault for times in columns for fault in times})
    )
    return "\n".join(lines)


def _times(series: Series, what: str) -> Times:
    times: dict[str, list[float | None]] = {}
    for run in series.runs:
        for each in run.recovery:
            times.setdefault(each.fault, []).append(getattr(each, what))
    return times


def _cell(times: Sequence[float | None]) -> str:
    known = [seconds for seconds in times if seconds is not None]
    cut = len(times) - len(known)
    told = f" +{cut}" if cut else ""
    found = spread(known)
    if found is None:
        return told.strip() or _NONE
    return f"{found.p50:.1f} / {found.p95:.1f} / {found.longest:.1f} ({found.count}){told}"
