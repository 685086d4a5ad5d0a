"""What was done, whom it hit, what shows that it happened, and how the output came back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.chaos.report.amounts import NOTHING, moment, seconds
from holdfast.chaos.report.markup import Content, Markup, joined, tag
from holdfast.chaos.report.recovery import KindRecovery, Spread
from holdfast.chaos.report.tables import Cell, table
from holdfast.chaos.run.result import FaultSpan, Recovery, RunResult

_TITLES = ("#", "fault", "hit", "at", "for", "evidence", "detection", "longest gap", "back to normal")
_KIND_TITLES = ("fault", "how many", "detection", "longest gap", "back to normal", "never normal")


def faults_table(result: RunResult) -> Markup:
    """A row for each fault."""
    recovery = {each.fault: each for each in result.recovery}
    rows = [_row(i, fault, recovery.get(i)) for i, fault in enumerate(result.faults)]
    right = ("at", "for", "detection", "longest gap", "back to normal")
    return table(
        "Faults, with what shows that they happened, and the recovery from each", _TITLES, rows, right=right
    )


def _row(index: int, fault: FaultSpan, recovery: Recovery | None) -> tuple[Cell, ...]:
    name = joined(tag("code", fault.kind), tag("div", fault.target, class_="evidence"))
    return (
        Cell(index + 1, head=True, look="nowrap"),
        Cell(name, look="kind"),
        Cell(", ".join(fault.hit) or "nobody"),
        Cell(moment(fault.began), right=True, look="nowrap"),
        Cell(_length(fault), right=True, look="nowrap"),
        Cell(_evidence(fault)),
        *_recovered(recovery),
    )


def _length(fault: FaultSpan) -> str:
    if fault.ended is None:
        return "not undone"
    return seconds(fault.ended - fault.began) if fault.ended > fault.began else "an instant"


def _recovered(recovery: Recovery | None) -> tuple[Cell, ...]:
    if recovery is None:
        return tuple(Cell(NOTHING, right=True) for _ in range(3))
    back = seconds(recovery.back_to_normal)
    return (
        Cell(seconds(recovery.detection), right=True, look="nowrap"),
        Cell(seconds(recovery.longest_gap), right=True, look="nowrap"),
        Cell(
            back if recovery.back_to_normal is not None else "not before the next", right=True, look="nowrap"
        ),
    )


def _evidence(fault: FaultSpan) -> Content:
    told = [f"{name} {_plain(value)}" for name, value in fault.evidence.items()]
    lines = [tag("div", f"✗ {fault.error}", class_="wrong")] if fault.error else []
    return joined(*lines, tag("div", "; ".join(told) or "none", class_="evidence"))


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)


def kinds_table(kinds: Sequence[KindRecovery]) -> Markup:
    """A row for each kind of fault: p50 / p95 / max."""
    rows = [
        (
            Cell(tag("code", it.kind), head=True),
            Cell(it.faults, right=True),
            *(
                Cell(spread_text(each), right=True)
                for each in (it.detection, it.longest_gap, it.back_to_normal)
            ),
            Cell(it.never, right=True, look="wrong" if it.never else ""),
        )
        for it in kinds
    ]
    return table(
        "Recovery by kind of fault: p50, p95 and longest", _KIND_TITLES, rows, right=_KIND_TITLES[1:]
    )


def spread_text(spread: Spread | None) -> str:
    """Quantiles in one line: ``5.1 s / 6.0 s / 6.2 s``; of one time that alone."""
    if spread is None:
        return NOTHING
    if spread.count == 1:
        return seconds(spread.longest)
    return " / ".join(map(seconds, (spread.p50, spread.p95, spread.longest)))
