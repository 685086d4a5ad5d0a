"""The note beside a committed position: what is written is read again, and other notes are let be."""

from __future__ import annotations

import pytest

from holdfast.kafka.positions import Committed, Note, Role, note_beside, noted, read
from holdfast.record import TopicPartition

PLACE = TopicPartition("orders", 3)
ID = "wLNBn8lVS6yW-jSYqGwHFQ"


@pytest.mark.parametrize("id_", [ID, None])
@pytest.mark.parametrize("fence", [0, 1_795_000_000_000])
@pytest.mark.parametrize("muted", [None, 8])
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("owner", [None, "db-1.example.org-0"])
@pytest.mark.parametrize("state", [{}, {"sums": ID, "_b": "x-Y_2"}])
def test_a_note_comes_back_as_it_was_written(
    id_: str | None,
    fence: int,
    muted: int | None,
    role: Role,
    owner: str | None,
    state: dict[str, str],
) -> None:
    """With or without each of its parts."""
    [written] = noted({PLACE: 7}, {PLACE: Note(id_, fence, muted, role, owner, state)}.__getitem__)
    assert (written.topic, written.partition, written.offset) == (*PLACE, 7)
    whole = Committed(7, fence, muted, role, owner, state)
    assert read(7, written.metadata, ID) == whole
    assert read(7, written.metadata, None) == whole
    # The role is not the topic's: a shadow stays one when its input is made anew.
    gone = Committed(None, fence, role=role, owner=owner)
    elsewhere = gone if id_ else whole
    assert read(7, written.metadata, "another") == elsewhere


def test_a_replay_that_is_over_is_not_noted() -> None:
    """The next position at or beyond its end says nothing of it."""
    [written] = noted({PLACE: 8}, lambda _: Note(ID, 5, muted=8))
    assert read(8, written.metadata, ID) == Committed(8, 5)


@pytest.mark.parametrize(
    "metadata",
    [None, "", "another tool's; fence 5", "holdfast: topic id a; fence x", "holdfast: muted up to"],
)
def test_other_notes_say_nothing(metadata: str | None) -> None:
    """The position counts as it is, and nobody knows whether the group may be live."""
    assert read(7, metadata, ID) == Committed(7, 0, role=Role.UNKNOWN)


class OfAJavaClient:
    """A position whose note has no end, as the client gives it: what was in memory behind it follows."""

    @property
    def metadata(self) -> str:
        return b"AgAAAaFzzs2L\xd4\x01".decode()


def test_a_note_that_the_client_cannot_read_is_as_good_as_none() -> None:
    assert note_beside(OfAJavaClient()) is None
    [written] = noted({PLACE: 7}, lambda _: Note(ID))
    assert note_beside(written) == written.metadata


def test_a_note_of_the_first_form_is_understood() -> None:
    """It had no token, and there were no versions."""
    assert read(7, f"holdfast: topic id {ID}", ID) == Committed(7, 0)
    assert read(7, "holdfast: topic id another", ID) == Committed(None, 0)


def test_no_position_is_none() -> None:
    """The client says so by a negative offset."""
    assert read(-1001, "", ID) == Committed(None, 0, role=Role.UNKNOWN, was_noted=False)


def test_a_part_of_a_later_version_takes_nothing_away() -> None:
    """Workers of two versions commit in one group while a new one is rolled out, or back."""
    metadata = f"holdfast: topic id {ID}; fence 7; muted up to 9; colour blue; by host-0; shadow"
    assert read(8, metadata, ID) == Committed(8, 7, 9, Role.SHADOW, "host-0")


def test_a_role_of_a_later_version_is_not_taken_for_live() -> None:
    """Whoever cannot tell asks whether another version is live."""
    assert read(7, f"holdfast: topic id {ID}; fence 7; retiring", ID).role is Role.UNKNOWN
