"""Who had what when: a row for each shard, partition or breaker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from holdfast.chaos.report.amounts import counted, moment, seconds
from holdfast.chaos.report.frame import Legend, Plot
from holdfast.chaos.report.labels import shown_in
from holdfast.chaos.report.markup import Markup, joined, tag
from holdfast.chaos.report.rows import TOP, natural, plot_height, row_height, row_labels, short_names
from holdfast.chaos.report.tables import Cell, table
from holdfast.chaos.report.time_axis import WIDTH, TimeAxis, during
from holdfast.chaos.run.result import Span

COLOURS = 6
"""From the seventh state on the colours come again, with stripes."""

_LONGEST_ROW = 12
"""So many spans of a row are told in the table."""

_OVERLAP_S = 0.05
"""Shorter overlaps are of the clocks that told of them."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a plot of spans is about.

    Attributes:
        name: for links.
        title: its heading.
        unit: what a row and a colour are.
        subject: one row, in words.
        nobody: what a row is in between; "" if such times say nothing.
        colours: of states that have a meaning of their own.
    """

    name: str
    title: str
    unit: str
    subject: str
    nobody: str = ""
    colours: Mapping[str, int] | None = None


OWNERS = Words("owners", "Owners per shard", "who had it", "shard", "nobody")
LEADERS = Words("leaders", "Leaders of the input's partitions", "who led it", "partition", "nobody")
BREAKERS = Words(
    "breakers",
    "Circuit breakers",
    "their states",
    "breaker",
    colours={"closed": 0, "half-open": 1, "half_open": 1, "open": 5},
)


@dataclass(frozen=True, slots=True)
class _Row:
    """A row: its spans by their begin, gaps between them, and times with two of them at once."""

    subject: str
    spans: tuple[Span, ...]
    gaps: tuple[tuple[float, float], ...]
    overlaps: tuple[tuple[float, float], ...]


def gantt(spans: Sequence[Span], axis: TimeAxis, words: Words) -> Plot:
    """The plot of some spans."""
    rows = _rows(spans, axis)
    states = state_numbers(spans, words.colours or {})
    height = row_height(len(rows))
    short, topic = short_names(row.subject for row in rows)
    drawing = joined(
        tag("path", class_="gap", d=_paths(_gaps(rows), axis, height)) if words.nobody else None,
        [
            tag("path", class_=f"bar {look_of(number)}", d=_paths(_bars(rows, state), axis, height))
            for state, number in states.items()
        ],
    )
    legend = [Legend(state, f"bar {look_of(number)}") for state, number in states.items()]
    if words.nobody and any(row.gaps for row in rows):
        legend.append(Legend(words.nobody, "gap"))
    return Plot(
        words.name,
        words.title,
        f"{words.unit}, a row for each {words.subject}{f' of {topic}' if topic else ''}",
        _says(rows, states, words),
        plot_height(len(rows)),
        drawing,
        row_labels([short[row.subject] for row in rows]),
        tuple(legend),
        over=_labels(rows, axis, states, height) if height >= 20 else Markup(),
        more=_table(rows, words),
        lines=False,
        pointed=words.name,
    )


def state_numbers(spans: Iterable[Span], colours: Mapping[str, int]) -> dict[str, int]:
    """The colour of each state, in the order of their names."""
    states = sorted({span.state for span in spans}, key=natural)
    free = [
        i for i in range(len(states) + COLOURS) if i not in {colours[it] for it in states if it in colours}
    ]
    return {state: colours[state] if state in colours else free.pop(0) for state in states}


def look_of(number: int) -> str:
    """The CSS classes of a colour."""
    return f"c{number % COLOURS}" + (" striped" if number // COLOURS % 2 else "")


def _rows(spans: Sequence[Span], axis: TimeAxis) -> list[_Row]:
    subjects: dict[str, list[Span]] = {}
    for span in spans:
        subjects.setdefault(span.subject, []).append(span)
    return [
        _row(subject, sorted(subjects[subject], key=lambda it: it.began), axis)
        for subject in sorted(subjects, key=natural)
    ]


def _row(subject: str, spans: Sequence[Span], axis: TimeAxis) -> _Row:
    gaps, overlaps = [], []
    end = spans[0].began
    for span in spans:
        ended = axis.end if span.ended is None else span.ended
        if span.began > end:
            gaps.append((end, span.began))
        elif min(end, ended) - span.began > _OVERLAP_S:
            overlaps.append((span.began, min(end, ended)))
        end = max(end, ended)
    if end < axis.end:
        gaps.append((end, axis.end))
    return _Row(subject, tuple(spans), tuple(gaps), tuple(overlaps))


_Bar = tuple[int, float, float, bool]
"""Its row, begin, end, and whether another one has the upper half at its begin."""


def _bars(rows: Sequence[_Row], state: str) -> Iterable[_Bar]:
    for i, row in enumerate(rows):
        second = {began for began, _ in row.overlaps}
        for span in row.spans:
            if span.state == state:
                ended = float("inf") if span.ended is None else span.ended
                yield i, span.began, ended, span.began in second


def _gaps(rows: Sequence[_Row]) -> Iterable[_Bar]:
    return ((i, began, ended, False) for i, row in enumerate(rows) for began, ended in row.gaps)


def _paths(bars: Iterable[_Bar], axis: TimeAxis, height: float) -> str:
    parts = []
    room = height - (3 if height >= 12 else 1)
    for i, began, ended, half in bars:
        left, width = axis.span(began, min(ended, axis.end), least=0.6)
        top = TOP + i * height + (height - room) / 2 + (room / 2 if half else 0)
        tall = room / 2 if half else room
        parts.append(f"M{left:g} {top:g}h{width:g}v{tall:g}h-{width:g}z")
    return "".join(parts)


def _labels(rows: Sequence[_Row], axis: TimeAxis, states: Mapping[str, int], height: float) -> Markup:
    """Names in the bars that have room for them."""
    return joined(_label(i, span, axis, states, height) for i, row in enumerate(rows) for span in row.spans)


def _label(row: int, span: Span, axis: TimeAxis, states: Mapping[str, int], height: float) -> Markup | None:
    left, width = axis.span(span.began, span.ended)
    look = shown_in(width / WIDTH, span.state)
    if look is None:
        return None
    place = f"top:{TOP + row * height:g}px;left:{left / 10:.2f}%;width:{width / 10:.2f}%"
    return tag("span", span.state, class_=f"name t{states[span.state] % COLOURS} {look}".strip(), style=place)


def _says(rows: Sequence[_Row], states: Mapping[str, int], words: Words) -> str:
    moves = sum(len(row.spans) - 1 for row in rows)
    what = counted(len(states), "state" if words.colours else "holder")
    text = f"{counted(len(rows), words.subject)}, {what}, {counted(moves, 'change')}."
    between = [(end - began, began, row.subject) for row in rows for began, end in row.gaps]
    if words.nobody and between:
        length, began, subject = max(between)
        text += f" Longest without: {words.subject} {subject}, for {seconds(length)} from {moment(began)}."
    twice = [(end - began, began, row.subject) for row in rows for began, end in row.overlaps]
    if twice:
        length, began, subject = max(twice)
        text += f" Two at once: {words.subject} {subject}, for {seconds(length)} from {moment(began)}."
    return text


def _table(rows: Sequence[_Row], words: Words) -> Markup:
    """The same as a table, which closes the plot's gaps for those who cannot see it."""
    titles = (words.subject, "changes", *(["longest without"] if words.nobody else []), "who, when")
    body = [_table_row(row, words) for row in rows]
    return tag(
        "details", tag("summary", "The same as a table"), table(f"{words.title}, as a table", titles, body)
    )


def _table_row(row: _Row, words: Words) -> Sequence[Cell]:
    longest = max((end - began for began, end in row.gaps), default=0.0)
    told = [f"{span.state}: {during(span.began, span.ended)}" for span in row.spans[:_LONGEST_ROW]]
    more = len(row.spans) - len(told)
    if more > 0:
        told.append(f"and {counted(more, 'more')}".removesuffix("s"))
    cells: list[Cell] = [Cell(row.subject, head=True), Cell(len(row.spans) - 1, right=True)]
    if words.nobody:
        cells.append(Cell(seconds(longest), right=True))
    return (*cells, Cell("; ".join(told)))
