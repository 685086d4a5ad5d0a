"""Amounts as people read them: with a unit, and no more digits than they can be trusted to."""

from __future__ import annotations

import math
from collections.abc import Sequence

NOTHING = "–"
"""What stands where there is no value."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return ``1 fault``, ``1,200 faults`` or ``2 losses``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def seconds(value: float | None) -> str:
    """A length of time: ``40 ms``, ``6.1 s``, ``43 s``, ``12 min 5 s``."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if abs(value) < 0.9995:
        return f"{value * 1000:.0f} ms" if value else "0 s"
    if abs(value) < 119.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def moment(value: float) -> str:
    """A time of the run, in seconds since time 0: ``-3.0 s``, ``15.4 s``."""
    return f"{value:,.1f} s".replace("-", "\N{MINUS SIGN}")


def milliseconds(value: float | None) -> str:
    """A latency: ``0.5 ms``, ``38 ms``, ``6.1 s``."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value < 9.95:
        return f"{value:.1f} ms" if value else "0 ms"
    return f"{value:.0f} ms" if value < 999.5 else seconds(value / 1000)


def number(value: float) -> str:
    """A count or a rate: ``0``, ``2.5``, ``2,040``."""
    return f"{value:,.1f}" if 0 < abs(value) < 10 and value != round(value) else f"{value:,.0f}"


def short(value: float) -> str:
    """A number in a few characters, for axes: ``0``, ``0.5``, ``250``, ``2k``, ``1.5M``."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{suffix}"
    return f"{value:g}"


def listed(words: Sequence[str], last: str = "and") -> str:
    """Words as a sentence has them: ``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"
