"""Lag per shard: one row for each, darker where more records wait.

Lines would hide each other from ten shards on. Steps are powers of ten; each cell is the worst of its time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from holdfast.chaos.report.amounts import counted, moment, number
from holdfast.chaos.report.frame import Legend, Plot
from holdfast.chaos.report.markup import joined, tag
from holdfast.chaos.report.rows import TOP, plot_height, row_height, row_labels
from holdfast.chaos.report.time_axis import WIDTH, TimeAxis
from holdfast.chaos.run.result import Sample

_COLUMN = 2
"""Units of a cell."""

_LEVELS = ("0", "1 to 9", "10 to 99", "100 to 999", "1k to 9.9k", "10k and more")


def level_of(waiting: int) -> int:
    """The step of a lag: 0 of none, 1 up to 9, 2 up to 99, and so on."""
    return min(len(str(waiting)), len(_LEVELS) - 1) if waiting > 0 else 0


def lag_per_shard(samples: Sequence[Sample], axis: TimeAxis, names: Sequence[str] = ()) -> Plot:
    """The plot; the number of shards is the largest that any sample tells.

    Args:
        samples: what to draw.
        axis: the time.
        names: of the shards, where they are not called by their numbers.
    """
    shards = max(len(sample.lag) for sample in samples)
    called = shard_names(names, shards)
    cells = _cells(samples, axis, shards)
    height = row_height(shards)
    paths: dict[int, list[str]] = {}
    for shard in range(shards):
        left = 0
        for level, group in groupby(cells[shard]):
            length = len(list(group))
            width = length * _COLUMN
            if level is not None:
                paths.setdefault(level, []).append(
                    f"M{left * _COLUMN} {TOP + shard * height:g}h{width}v{height - 1:g}h-{width}z"
                )
            left += length
    shapes = [tag("path", class_=f"heat l{level}", d="".join(paths[level])) for level in sorted(paths)]
    legend = [Legend(_LEVELS[level], f"heat l{level}") for level in range(max(paths, default=0) + 1)]
    return Plot(
        "lag-per-shard",
        "Lag per shard",
        "records that wait, a row for each shard",
        _says(samples, called),
        plot_height(shards),
        joined(shapes),
        row_labels(called),
        tuple(legend),
        lines=False,
        pointed="shard-lag",
    )


def _cells(samples: Sequence[Sample], axis: TimeAxis, shards: int) -> list[list[int | None]]:
    """The worst step of each shard in each column; None where nobody could be asked."""
    columns = WIDTH // _COLUMN
    cells: list[list[int | None]] = [[None] * columns for _ in range(shards)]
    for sample in samples:
        first = min(int(axis.x(sample.at - sample.seconds) / _COLUMN), columns - 1)
        last = max(math.ceil(axis.x(sample.at) / _COLUMN), first + 1)
        for row, waiting in zip(cells, sample.lag, strict=False):
            level = level_of(waiting)
            for column in range(first, min(last, columns)):
                row[column] = max(row[column] or 0, level)
    return cells


def shard_names(names: Sequence[str], shards: int) -> list[str]:
    """What so many shards are called."""
    return list(names) if len(names) == shards else [f"shard {shard}" for shard in range(shards)]


def _says(samples: Sequence[Sample], names: Sequence[str]) -> str:
    most, shard, at = max((waiting, shard, it.at) for it in samples for shard, waiting in enumerate(it.lag))
    text = f"{counted(len(names), 'shard')}. "
    if not most:
        return f"{text}No sample found a record that waits."
    return f"{text}Furthest behind was {names[shard]}, with {number(most)} records at {moment(at)}."
