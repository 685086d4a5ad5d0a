"""Fewer points of a line that look the same.

M4 (Jugel, Jerzak, Hackenbroich, Markl: "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB
2014): of the points in one column of pixels the first, the lowest, the highest and the last draw what all
of them would. So no peak and no hole is lost, whatever the number of samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import groupby

Point = tuple[float, float]


def m4(points: Iterable[Point], columns: int, width: float) -> list[Point]:
    """Thin out a line.

    Args:
        points: its points by rising x.
        columns: of how many columns of pixels it is made.
        width: x of the right end; the left one is 0.
    """
    thin: list[Point] = []
    for _, group in groupby(points, key=lambda point: math.floor(point[0] / width * columns)):
        column = list(group)
        low = min(range(len(column)), key=lambda i: column[i][1])
        high = max(range(len(column)), key=lambda i: column[i][1])
        thin += [column[i] for i in sorted({0, low, high, len(column) - 1})]
    return thin


def unbroken(points: Iterable[tuple[float, float | None]]) -> Iterator[list[Point]]:
    """Cut a line where it has no value, so that nothing is drawn across a time of which nothing is known."""
    part: list[Point] = []
    for x, y in points:
        if y is not None and math.isfinite(y):
            part.append((x, y))
        elif part:
            yield part
            part = []
    if part:
        yield part
