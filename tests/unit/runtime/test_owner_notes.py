"""What a worker notes beside its positions: fencing tokens that only grow, and replays under way."""

from __future__ import annotations

from holdfast.kafka.positions import Committed, Note, Role, noted, read
from holdfast.record import TopicPartition
from holdfast.runtime.owner_notes import OwnerNotes

A3, A4 = TopicPartition("a", 3), TopicPartition("a", 4)


def test_a_token_exceeds_the_last_one_when_the_clock_is_behind() -> None:
    """Another machine's clock chose it, or this one's was set back."""
    notes = OwnerNotes(now=lambda: 1_000.0)
    assert notes.begin(3, last=5_000_000) == 5_000_001
    assert notes.fence(3) == 5_000_001


def test_a_token_is_the_time_of_day_where_no_note_is_left() -> None:
    """Positions were reset, and their notes with them: a system outside has seen smaller tokens only."""
    assert OwnerNotes(now=lambda: 1_795_000_000.5).begin(3, last=0) == 1_795_000_000_500


def test_shards_have_notes_of_their_own() -> None:
    """And none before they were restored."""
    notes = OwnerNotes({"a": "id-1"}.get, now=lambda: 0.0)
    notes.begin(3, last=6)
    notes.take_over(A3, Committed(0, muted=9))
    assert notes(A3) == Note("id-1", 7, 9)
    assert notes(A4) == Note("id-1")
    assert notes.muted(["a", "b"], 3) == {"a": 9}
    assert notes.muted(["a"], 4) == {}


def test_a_replay_is_passed_on_until_the_position_has_passed_it() -> None:
    """Whoever commits: one owner after the other reads what the one before noted."""
    notes = OwnerNotes({"a": "id-1"}.get)
    notes.take_over(A3, Committed(0, muted=7))
    [below] = noted({A3: 6}, notes)
    assert read(6, below.metadata, "id-1").muted == 7
    [beyond] = noted({A3: 7}, notes)
    successor = OwnerNotes({"a": "id-1"}.get)
    successor.take_over(A3, read(7, beyond.metadata, "id-1"))
    assert successor.muted(["a"], 3) == {}


def test_the_role_goes_from_owner_to_owner() -> None:
    """Beside every position of the shard; other shards have their own."""
    notes = OwnerNotes({"a": "id-1"}.get)
    notes.set_role(3, Role.SHADOW)
    assert notes(A3).role is Role.SHADOW
    assert (notes.is_shadow(3), notes.is_shadow(4)) == (True, False)
    [written] = noted({A3: 6}, notes)
    assert read(6, written.metadata, "id-1").role is Role.SHADOW


def test_successors_can_read_who_committed() -> None:
    """In which slot, to end what he left open; a worker without transactions says nothing."""
    [written] = noted({A3: 6}, OwnerNotes(owner="host-0"))
    assert read(6, written.metadata, None).owner == "host-0"
    [written] = noted({A3: 6}, OwnerNotes())
    assert read(6, written.metadata, None).owner is None
