"""Numbers in sentences."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return ``1 event`` or ``1,200 events``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
