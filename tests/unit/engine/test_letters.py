"""Dead letters as they are read again: whole, and in the order of their keys."""

from __future__ import annotations

from holdfast.engine.dead_letter import TIMESTAMP, dead_letter
from holdfast.engine.letters import Letter, gaps_before, in_order, read_letter
from holdfast.engine.redriven import Parked, Redriven, read_redriven
from holdfast.record import Output, Position
from holdfast.testing import MemoryMessage
from tests.unit.engine.kit import LETTERS

OWN = [("ce_type", b"Added.v1"), ("trace", b"\xff")]


def stored(output: Output, offset: int = 0, topic: str = LETTERS) -> MemoryMessage:
    """A record as it is read after it was written."""
    headers = [(name, value) for name, value in output.headers if isinstance(value, bytes)]
    return MemoryMessage(
        topic, 3, offset, key=output.key, value=output.value, timestamp=output.timestamp, headers=headers
    )


def letter(
    offset: int,
    *,
    at: int = 0,
    topic: str = "adds",
    key: bytes | None = b"k",
    first: int = 1,
    parked: Parked | None = None,
) -> Letter:
    """A letter of the record with this offset, which stands at `at`."""
    message = MemoryMessage(topic, 3, offset, key=key, value=b"{}", timestamp=77, headers=list(OWN))
    output = dead_letter(
        LETTERS,
        Position(topic, 3, offset),
        message,
        ValueError("no"),
        processor="counter",
        now=first,
        parked=parked,
    )
    found = read_letter(stored(output, at))
    assert found is not None
    return found


def test_a_letter_tells_all_that_was_written() -> None:
    """The record's own headers are apart from those of its cause."""
    found = letter(5, at=9, parked=Parked("adds[3]@5/1", 1))
    assert (found.name, found.origin, found.processor) == ("3@9", Position("adds", 3, 5), "counter")
    assert (found.cause, found.text) == ("builtins.ValueError", "no")
    assert (found.key, found.value, found.timestamp, found.headers) == (b"k", b"{}", 77, OWN)
    assert (found.attempts, found.first_failed, found.last_failed) == (1, 1, 1)
    assert found.parked == Parked("adds[3]@5/1", 1)


def test_letters_of_earlier_versions_can_be_read() -> None:
    """They have no times, and no place in a parking."""
    whole = stored(
        dead_letter(LETTERS, Position("adds", 3, 5), _message(), ValueError(), processor="p", now=1)
    )
    headers = [it for it in whole.headers() or [] if "failed" not in it[0]]
    found = read_letter(MemoryMessage(LETTERS, 0, 0, key=b"k", value=b"", headers=headers))
    assert found is not None
    assert (found.first_failed, found.last_failed, found.parked) == (None, None, None)


def test_what_is_no_letter_is_none() -> None:
    """Somebody else may write to the topic."""
    assert read_letter(_message()) is None
    headers = [("__streams.errors.exception", b"java.lang.Error")]
    assert read_letter(MemoryMessage(LETTERS, 0, 0, key=None, value=None, headers=headers)) is None


def test_a_letter_that_was_copied_to_an_input_keeps_the_headers_of_its_first_cause() -> None:
    """They are headers of the record then, like any other."""
    first = stored(dead_letter(LETTERS, Position("a", 0, 1), _message(), ValueError(), processor="p", now=1))
    second = dead_letter(LETTERS, Position("adds", 3, 5), first, KeyError(), processor="counter", now=2)
    found = read_letter(stored(second))
    assert found is not None
    assert (found.processor, found.headers) == ("counter", first.headers())


def test_what_is_redriven_is_what_was_set_aside() -> None:
    """Also its time, where the letter had to carry another one; the handler sees no header of ours."""
    message = MemoryMessage("adds", 3, 5, key=b"k", value=b"{}", timestamp=77, headers=list(OWN))
    dated = dead_letter(
        LETTERS, Position("adds", 3, 5), message, ValueError("no"), processor="counter", now=5, time=9
    )
    assert (TIMESTAMP, b"77") in dated.headers
    found = read_letter(stored(dated, 4))
    assert found is not None
    written = stored(found.redriven("app.redrive", after=2), 8, "app.redrive")
    assert read_redriven(written, "another") is None
    again = read_redriven(written, "counter")
    assert isinstance(again, Redriven)
    assert (again.key(), again.value(), again.timestamp()[1], again.headers()) == (b"k", b"{}", 77, OWN)
    assert (again.topic(), again.partition(), again.offset()) == ("app.redrive", 3, 8)
    assert again.sent.origin == Position("adds", 3, 5)
    assert (again.sent.letter, again.sent.attempts, again.sent.first_failed) == (f"{LETTERS}[3]@4", 1, 5)
    assert (again.sent.after, again.sent.is_discarded) == (2, False)


def test_records_of_an_input_go_back_by_their_offsets() -> None:
    """One that failed again has a later letter than those that came after it."""
    letters = [letter(7, at=0), letter(9, at=1), letter(5, at=2)]
    assert [it.origin.offset for it in in_order(letters)] == [5, 7, 9]


def test_records_of_a_parked_key_go_back_by_their_numbers() -> None:
    """Those of several inputs have one order, which their offsets do not tell."""
    parking = "adds[3]@5/1"
    letters = [
        letter(1, topic="takes", parked=Parked(parking, 2)),
        letter(6, parked=Parked(parking, 3)),
        letter(5, parked=Parked(parking, 1)),
    ]
    assert [it.parked and it.parked.number for it in in_order(letters)] == [1, 2, 3]


def test_records_of_several_inputs_go_back_as_they_were_set_aside() -> None:
    """Each input in its own order."""
    letters = [letter(4, first=30), letter(1, topic="takes", first=20), letter(3, first=10)]
    assert [(it.origin.topic, it.origin.offset) for it in in_order(letters)] == [
        ("adds", 3),
        ("takes", 1),
        ("adds", 4),
    ]


def test_gaps_tell_the_number_before_each_open_letter() -> None:
    """Each parking has its own; letters without one have none."""
    letters = [
        letter(5, at=0, parked=Parked("a", 3)),
        letter(6, at=1, parked=Parked("a", 7)),
        letter(5, at=2, parked=Parked("b", 1)),
        letter(8, at=3),
    ]
    assert {place.offset: before for place, before in gaps_before(letters).items()} == {0: 0, 1: 3, 2: 0}


def _message() -> MemoryMessage:
    return MemoryMessage("adds", 3, 5, key=b"k", value=b"{}", timestamp=77, headers=list(OWN))
