"""Numbers in sentences, and where a sentence ends."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return ``1 event`` or ``1,200 events``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def span(seconds: float) -> str:
    """Return a time as it is said: ``3 s``, ``5 min``, ``2 h``, ``4 d``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"


def sentence(text: str) -> str:
    """Text with one mark at its end, which what others say may have already: ``Is it running?``."""
    bare = text.rstrip().rstrip(".")
    return bare if bare.endswith(("?", "!")) else f"{bare}."
