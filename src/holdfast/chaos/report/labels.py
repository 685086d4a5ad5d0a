"""Which labels there is room for, in a wide window and in a telephone."""

from __future__ import annotations

from collections.abc import Sequence

WIDE = 1040.0
"""Pixels of a plot in a wide window."""

NARROW = 270.0
"""Pixels of a plot in a telephone of 360 pixels."""

RIGHT_END = 0.95
"""Share of the width beyond which a label ends where it would begin elsewhere."""

CHARACTER = 6.6
"""Pixels of a character of a label, on average."""


def width_of(text: str) -> float:
    """Pixels that a label takes, with the room around it."""
    return len(text) * CHARACTER + 10


def shown_in(share: float, text: str) -> str | None:
    """The CSS class of a label in a bar: `wide` if only a wide window has room for it; None if no window has.

    Args:
        share: of the plot's width that the bar takes, 0 to 1.
        text: the label.
    """
    if share * NARROW >= width_of(text):
        return ""
    return "wide" if share * WIDE >= width_of(text) else None


def apart(places: Sequence[float], texts: Sequence[str]) -> tuple[str | None, ...]:
    """The CSS class of each of some labels in a row; None for those that would touch one before them.

    Args:
        places: where they begin, as shares of the plot's width in rising order.
        texts: the labels.
    """
    shown: list[str | None] = []
    ends = {WIDE: float("-inf"), NARROW: float("-inf")}
    for place, text in zip(places, texts, strict=True):
        fits = []
        for room, end in ends.items():
            left = place * room - (width_of(text) if place > RIGHT_END else 0)
            fits.append(left >= end)
        narrow, wide = all(fits), fits[0]
        shown.append("" if narrow else "wide" if wide else None)
        for room, drawn in ((WIDE, wide), (NARROW, narrow)):
            if drawn:
                ends[room] = place * room + (0 if place > RIGHT_END else width_of(text))
    return tuple(shown)
