"""Lines of values over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from holdfast.chaos.report.markup import Markup, tag
from holdfast.chaos.report.scales import Scale
from holdfast.chaos.report.thinning import m4, unbroken
from holdfast.chaos.report.time_axis import WIDTH, TimeAxis
from holdfast.chaos.run.result import Sample

Values = Iterable[tuple[float, float | None]]
"""Times with a value; None where there is none."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a plot.

    Attributes:
        values: over time, in seconds.
        look: its CSS class.
        filled: whether the area under it is filled.
    """

    values: Values
    look: str
    filled: bool = False


def steps(samples: Sequence[Sample], values: Iterable[float | None]) -> list[tuple[float, float | None]]:
    """Values of whole intervals: each holds from the interval's begin to its end."""
    pairs = list(zip(samples, values, strict=True))
    return [point for it, value in pairs for point in ((it.at - it.seconds, value), (it.at, value))]


def drawn(line: Line, axis: TimeAxis, scale: Scale, height: int) -> Markup:
    """A line as SVG. It breaks where there is no value; a value alone is a dot."""
    placed = ((axis.x(time), None if value is None else scale.share(value)) for time, value in line.values)
    parts = [m4(part, WIDTH, WIDTH) for part in unbroken(placed)]
    paths = ["".join(_path(part, height)) for part in parts]
    shapes = [tag("path", class_=f"line {line.look}", d="".join(paths))]
    if line.filled:
        areas = [
            f"{path}L{part[-1][0]:g} {height}L{part[0][0]:g} {height}z"
            for part, path in zip(parts, paths, strict=True)
        ]
        shapes.insert(0, tag("path", class_=f"fill {line.look}", d="".join(areas)))
    return tag("g", shapes)


def _path(points: Sequence[tuple[float, float]], height: int) -> Iterable[str]:
    for i, (x, share) in enumerate(points):
        yield f"{'L' if i else 'M'}{x:g} {round((1 - share) * height, 1):g}"
    if len(points) == 1:
        yield "h0"


def beside(scale: Scale, height: int, texts: Iterable[str]) -> tuple[tuple[float, str], ...]:
    """The labels of a scale, with how far from the top they are."""
    return tuple(
        (round((1 - scale.share(tick)) * height, 1), text)
        for tick, text in zip(scale.ticks(), texts, strict=True)
    )
