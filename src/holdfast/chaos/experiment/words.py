"""Durations as an experiment's file says them."""

from __future__ import annotations


def span_text(milliseconds: int) -> str:
    """Return `20s`, `1.5s` or `250ms`."""
    if milliseconds % 100 or 0 < milliseconds < 100:
        return f"{milliseconds}ms"
    whole, tenths = divmod(milliseconds // 100, 10)
    return f"{whole}.{tenths}s" if tenths else f"{whole}s"
