"""The faults above all plots: what was done when, and until when the output was not normal again."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.chaos.report.labels import NARROW, WIDE, width_of
from holdfast.chaos.report.markup import Markup, joined, tag
from holdfast.chaos.report.time_axis import WIDTH, TimeAxis, during
from holdfast.chaos.run.result import FaultSpan, Recovery

LANE = 24
"""Pixels of a lane."""

_MOST_LANES = 5
"""With more, labels go, so that the plots keep the screen."""

_HINT = "Thin lines: until every partition of the output was fresh again."


def fault_lane(faults: Sequence[FaultSpan], recovery: Sequence[Recovery], axis: TimeAxis) -> Markup:
    """The lane, with the time axis under it, and under that a slider that only a script shows."""
    texts = [label_of(i, fault) for i, fault in enumerate(faults)]
    lanes = _packed(faults, axis, [width_of(text) for text in texts])
    dense = max(lanes, default=0) >= _MOST_LANES
    if dense:
        lanes = [lane % _MOST_LANES for lane in _packed(faults, axis, [0.0] * len(faults))]
    height = (max(lanes, default=0) + 1) * LANE if faults else 0
    back = {it.fault: it.back_to_normal for it in recovery}
    roomy = _roomy(faults, lanes, axis, texts)
    bars = [
        _bar(fault, texts[i], axis, lane, back.get(i), roomy[i])
        for i, (fault, lane) in enumerate(zip(faults, lanes, strict=True))
    ]
    hint = _HINT if recovery else None
    area = (
        tag("div", bars, class_="bars", style=f"height:{height}px", title=hint, aria_hidden="true"),
        tag("div", _ticks(axis), class_="ticks", aria_hidden="true"),
        tag(
            "input", type="range", id="at", step="any", hidden=True, aria_label="Seconds to read all plots at"
        ),
        tag("i", class_="cursor"),
    )
    beside = (
        tag("span", "faults", style=f"top:{LANE / 2}px", aria_hidden="true") if faults else None,
        tag("output", id="told", for_="at", style=f"top:{height + 28}px"),
    )
    columns = tag("div", beside, class_="beside"), tag("div", area, class_="area")
    return tag("div", columns, class_="rows lane dense" if dense else "rows lane")


def _ticks(axis: TimeAxis) -> list[Markup]:
    return [
        tag("span", text, class_=_tick_look(i, axis.x(time) / WIDTH), style=f"left:{axis.percent(time)}")
        for i, (time, text) in enumerate(axis.ticks())
    ]


def _tick_look(index: int, share: float) -> str | None:
    """Every other time has to go from a telephone; the first and the last stay within the plot."""
    side = "first" if share < 0.03 else "last" if share > 0.97 else ""
    return " ".join(filter(None, (side, "odd" if index % 2 else ""))) or None


def label_of(index: int, fault: FaultSpan) -> str:
    """A fault in a few words: its number, kind, and whom it hit."""
    hit = ", ".join(fault.hit) or fault.target
    return f"{index + 1} {fault.kind} {hit}".rstrip()


def _packed(faults: Sequence[FaultSpan], axis: TimeAxis, widths: Sequence[float]) -> list[int]:
    """The first lane of each fault that nothing else is in yet."""
    ends: list[float] = []
    lanes = [0] * len(faults)
    for i in sorted(range(len(faults)), key=lambda i: faults[i].began):
        left, width = (value * WIDE / WIDTH for value in axis.span(faults[i].began, faults[i].ended, least=3))
        right = left + max(width, widths[i]) + 4
        if left + widths[i] > WIDE:
            left, right = min(left, WIDE - widths[i] - width), left + width + 4
        lane = next((lane for lane, end in enumerate(ends) if end <= left), len(ends))
        ends[lane:] = [right, *ends[lane + 1 :]]
        lanes[i] = lane
    return lanes


def _roomy(
    faults: Sequence[FaultSpan], lanes: Sequence[int], axis: TimeAxis, texts: Sequence[str]
) -> list[bool]:
    """Whether a telephone has room for a label as well, before the next one of its lane or the right end."""
    lefts = [axis.x(fault.began) * NARROW / WIDTH for fault in faults]
    return [
        lefts[i] + width_of(text)
        <= min(
            (lefts[k] for k in range(len(faults)) if lanes[k] == lane and lefts[k] > lefts[i]), default=NARROW
        )
        for i, (text, lane) in enumerate(zip(texts, lanes, strict=True))
    ]


def _bar(fault: FaultSpan, text: str, axis: TimeAxis, lane: int, back: float | None, roomy: bool) -> Markup:
    left, width = axis.span(fault.began, fault.ended, least=3)
    place = f"top:{lane * LANE}px;left:{left / 10:.2f}%"
    title = (
        f"{text}, {during(fault.began, fault.ended)}{f', went wrong: {fault.error}' if fault.error else ''}"
    )
    look = " ".join(filter(None, ("fault", _family(fault.kind), "failed" if fault.error else "")))
    # Where a label would go beyond the right end, it ends where its bar begins.
    before = left * WIDE / WIDTH + width_of(text) > WIDE and width * WIDE / WIDTH < width_of(text)
    number, _, rest = text.partition(" ")
    words = tag("span", tag("b", number), tag("em", f" {rest}", class_=None if roomy else "wide"))
    whisker = None
    if back is not None:
        start, length = axis.span(fault.began, fault.began + back)
        where = f"top:{lane * LANE + LANE - 6}px;left:{start / 10:.2f}%;width:{length / 10:.2f}%"
        whisker = tag("i", class_="back", style=where)
    return joined(
        tag("div", class_=look, style=f"{place};width:{width / 10:.2f}%", title=title),
        tag(
            "div",
            words,
            class_=f"label{' before' if before else ''}",
            style=_label_place(place, left, before),
        ),
        whisker,
    )


def _label_place(place: str, left: float, before: bool) -> str:
    return f"{place.partition(';')[0]};right:{100 - left / 10:.2f}%" if before else place


def _family(kind: str) -> str:
    family = kind.partition(".")[0]
    return family if family in {"broker", "worker", "network", "disk", "clock", "sink"} else "other"
