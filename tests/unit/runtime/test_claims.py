"""Fencing tokens: larger with every ownership, whatever the clock says."""

from __future__ import annotations

from holdfast.runtime.claims import Fences


def test_a_token_exceeds_the_last_one_when_the_clock_is_behind() -> None:
    """Another machine's clock chose it, or this one's was set back."""
    fences = Fences(now=lambda: 1_000.0)
    assert fences.choose(3, last=5_000_000) == 5_000_001
    assert fences.of(3) == 5_000_001


def test_a_token_is_the_time_of_day_where_no_note_is_left() -> None:
    """Positions were reset, and their notes with them: a system outside has seen smaller tokens only."""
    assert Fences(now=lambda: 1_795_000_000.5).choose(3, last=0) == 1_795_000_000_500


def test_shards_have_tokens_of_their_own() -> None:
    """And none before they were restored."""
    fences = Fences(now=lambda: 0.0)
    fences.choose(3, last=6)
    assert (fences.of(3), fences.of(4)) == (7, 0)
