"""Rows, one for each shard, partition or breaker: how high they are, and what stands beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

TOP = 14
"""Pixels above the first row: for the faults' numbers, which no bar hides there."""

_LABELLED = 26
"""With more rows only some of them have a label."""


def row_height(rows: int) -> float:
    """Pixels of one of so many rows: fewer where there are many, so that all fit a screen or two."""
    if rows <= _LABELLED:
        return 20.0
    return 12.0 if rows <= 50 else 7.0 if rows <= 120 else 4.0


def plot_height(rows: int) -> int:
    """Pixels of a plot of so many rows."""
    return round(TOP + rows * row_height(rows))


def row_labels(names: Sequence[str]) -> tuple[tuple[float, str], ...]:
    """Labels beside rows, with the middle of theirs; of many rows every fifth, tenth or fiftieth has one."""
    height = row_height(len(names))
    every = next((step for step in (1, 2, 5, 10, 20, 50) if step * height >= 14), 100)
    return tuple((TOP + i * height + height / 2, names[i]) for i in range(0, len(names), every))


def natural(text: str) -> tuple[tuple[int, int | str], ...]:
    """A key that sorts `orders/10` after `orders/9`."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts)


def short_names(names: Iterable[str]) -> tuple[dict[str, str], str]:
    """Names for rows, and the topic whose partitions all are (then `orders/3` is 3), or "" if none is."""
    known = list(names)
    topics = {name.rpartition("/")[0] for name in known}
    if len(topics) == 1 and topics != {""}:
        return {name: name.rpartition("/")[2] for name in known}, topics.pop()
    return {name: f"shard {name}" if name.isdecimal() else name for name in known}, ""
