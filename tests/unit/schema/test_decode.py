"""Records to events: the current version, old versions, and everything that can be wrong."""

from __future__ import annotations

import re
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from holdfast.errors import (
    DecodeError,
    EmptyRecord,
    InvalidEvent,
    NewerVersion,
    NotJson,
    SchemaError,
    UnknownType,
)
from holdfast.schema import Event, EventDecoder, Tombstone, TopicEncoder


class Placed(Event, version=3):
    order_id: str
    amount: Decimal
    currency: str


@Placed.upcast(from_version=1)
def _cents_to_amount(old: dict[str, Any]) -> dict[str, Any]:
    return {"order_id": old["order_id"], "amount": Decimal(old["cents"]) / 100}


@Placed.upcast(from_version=2)
def _add_currency(old: dict[str, Any]) -> dict[str, Any]:
    return {**old, "currency": "EUR"}


class Cancelled(Event):
    order_id: str


ONE = EventDecoder([Placed])
TWO = EventDecoder([Placed, Cancelled])
CURRENT = [("ce_type", b"Placed.v3")]
GOOD = b'{"order_id":"o-1","amount":"1.50","currency":"SEK"}'
EVENT = Placed(order_id="o-1", amount=Decimal("1.50"), currency="SEK")


@pytest.mark.parametrize("decoder", [ONE, TWO])
@pytest.mark.parametrize(
    "headers", [CURRENT, [("trace", b"x"), *CURRENT], [*CURRENT, ("trace", None)], [("ce_type", b"Placed")]]
)
def test_the_type_header_picks_the_event(decoder: EventDecoder, headers: list[tuple[str, bytes]]) -> None:
    """Other headers may stand around it, and a bare name means the current version."""
    assert decoder.decode(GOOD, headers, b"k") == EVENT


@pytest.mark.parametrize("headers", [None, [], [("trace", b"x")]])
def test_without_a_type_header_the_only_event_is_taken(headers: list[tuple[str, bytes]] | None) -> None:
    """Records of producers that know nothing of Holdfast can be read from a topic with one event."""
    assert ONE.decode(GOOD, headers, None) == EVENT


def test_without_a_type_header_a_topic_of_several_events_cannot_tell() -> None:
    """The error names the events between which it cannot choose."""
    with pytest.raises(UnknownType, match=r"no ce_type header.*Placed, Cancelled"):
        TWO.decode(GOOD, None, None)


def test_old_versions_go_through_all_upcasters_in_order() -> None:
    """Version 1 becomes 2, then 3; version 2 only 3."""
    first = b'{"order_id":"o-1","cents":150}'
    second = b'{"order_id":"o-1","amount":"1.5"}'
    expected = Placed(order_id="o-1", amount=Decimal("1.5"), currency="EUR")
    assert ONE.decode(first, [("ce_type", b"Placed.v1")], None) == expected
    assert TWO.decode(second, [("ce_type", b"Placed.v2")], None) == expected


def test_an_upcaster_that_fails_is_an_invalid_event_with_its_cause() -> None:
    """An old record without the field that the upcaster needs is a bad record, not a crash."""
    with pytest.raises(InvalidEvent, match=r"from version 1 failed.*KeyError\('order_id'\)") as caught:
        ONE.decode(b"{}", [("ce_type", b"Placed.v1")], None)
    assert isinstance(caught.value.__cause__, KeyError)


def test_what_an_upcaster_answers_is_checked_like_a_new_record() -> None:
    """The class validates the outcome, strict rules included."""

    class Strict(Event, version=2, strict=True):
        count: int

    Strict.upcast(from_version=1)(lambda old: {"count": old["n"]})
    decoder = EventDecoder([Strict])
    assert decoder.decode(b'{"n":1}', [("ce_type", b"Strict.v1")], None) == Strict(count=1)
    with pytest.raises(InvalidEvent, match=r"count: .*valid integer \(got '1'\)"):
        decoder.decode(b'{"n":"1"}', [("ce_type", b"Strict.v1")], None)


def test_an_upcaster_may_answer_nonsense() -> None:
    """An upcaster that returns something else than an object makes an invalid event."""

    class Broken(Event, version=3):
        pass

    Broken.upcast(from_version=1)(lambda _: None)  # type: ignore[arg-type, return-value]
    Broken.upcast(from_version=2)(lambda _: {"x": object()})
    decoder = EventDecoder([Broken])
    for version in (b"Broken.v1", b"Broken.v2"):
        with pytest.raises(InvalidEvent):
            decoder.decode(b"{}", [("ce_type", version)], None)


def test_a_newer_version_says_what_to_deploy_first() -> None:
    """The reader is behind the producer: that is its own error, whatever the value looks like."""
    for decoder in (ONE, TWO):
        with pytest.raises(NewerVersion, match=r"version 4.*up to 3.*Deploy"):
            decoder.decode(GOOD, [("ce_type", b"Placed.v4")], None)


def test_a_version_older_than_declared_is_unknown() -> None:
    """oldest= promises that no such record exists; one that does is not guessed at."""

    class Young(Event, version=3, oldest=3):
        pass

    with pytest.raises(UnknownType, match="older than the oldest"):
        EventDecoder([Young]).decode(b"{}", [("ce_type", b"Young.v2")], None)


@pytest.mark.parametrize("header", [b"Other.v1", b"Placed.vX", b"", b"\xff\xfe"])
def test_an_unknown_type_names_what_the_topic_declares(header: bytes) -> None:
    """Also when the header's bytes are no text."""
    with pytest.raises(UnknownType, match="declares only Placed"):
        ONE.decode(GOOD, [("ce_type", header)], None)


@pytest.mark.parametrize("headers", [None, CURRENT, [("ce_type", b"Placed.v9")]])
def test_an_empty_value_is_not_a_tombstone(headers: list[tuple[str, bytes]] | None) -> None:
    """Zero bytes are a broken record; only a null value deletes."""
    with pytest.raises(EmptyRecord, match="null value"):
        ONE.decode(b"", headers, None)


@pytest.mark.parametrize("version", [b"Placed.v1", b"Placed.v3"])
@pytest.mark.parametrize("value", [b"nope", b'{"a":', b"\x00\x01", b'{"a":"\xff"}', b"{'a':1}"])
def test_what_is_not_json_says_where_it_goes_wrong(version: bytes, value: bytes) -> None:
    """The same error for the current version and for old ones."""
    with pytest.raises(NotJson, match=r"is not JSON: .* at line 1 column"):
        ONE.decode(value, [("ce_type", version)], None)


def test_wrong_fields_are_named_with_their_path() -> None:
    """Every bad field once, with its path and a short form of what stood there."""

    class Line(Event):
        sku: str
        count: int

    class Basket(Event):
        lines: tuple[Line, ...]
        customer: str

    value = b'{"lines":[{"sku":"a","count":1},{"sku":"b","count":"' + b"many" * 50 + b'"}]}'
    with pytest.raises(InvalidEvent) as caught:
        EventDecoder([Basket]).decode(value, None, None)
    text = str(caught.value)
    assert re.search(r"lines\.1\.count: Input should be a valid integer.*\(got 'many.*\.\.\.\)", text)
    assert "customer: Field required" in text
    assert "http" not in text
    assert len(text) < 300


def test_many_wrong_fields_are_counted() -> None:
    """The message stays readable when everything is wrong."""

    class Wide(Event):
        a: int
        b: int
        c: int
        d: int
        e: int
        f: int
        g: int

    with pytest.raises(InvalidEvent, match=r"e: Field required; and 2 more"):
        EventDecoder([Wide]).decode(b"{}", None, None)


@pytest.mark.parametrize("value", [b"[]", b"null", b"5", b'"text"'])
@pytest.mark.parametrize("version", [b"Placed.v1", b"Placed.v3"])
def test_json_that_is_no_object_is_an_invalid_event(value: bytes, version: bytes) -> None:
    """Valid JSON of the wrong shape is not confused with broken JSON."""
    with pytest.raises(InvalidEvent, match="no Placed"):
        ONE.decode(value, [("ce_type", version)], None)


def test_unknown_fields_are_ignored_unless_forbidden() -> None:
    """A producer may add fields before its readers know them; extra="forbid" opts out."""

    class Closed(Event, extra="forbid"):
        order_id: str

    value = b'{"order_id":"o-1","new":1}'
    assert EventDecoder([Cancelled]).decode(value, None, None) == Cancelled(order_id="o-1")
    with pytest.raises(InvalidEvent, match="new: Extra inputs are not permitted"):
        EventDecoder([Closed]).decode(value, None, None)


def test_a_null_value_is_a_tombstone_of_its_type() -> None:
    """The type comes from the header, else from the topic's only event, else it is unknown."""
    assert ONE.decode(None, None, b"k") == Tombstone(Placed, b"k")
    assert TWO.decode(None, None, b"k") == Tombstone(None, b"k")
    assert TWO.decode(None, [("ce_type", b"Cancelled.v1")], b"k") == Tombstone(Cancelled, b"k")
    assert ONE.decode(None, [("ce_type", b"Placed.v9")], b"k") == Tombstone(Placed, b"k")
    with pytest.raises(UnknownType):
        ONE.decode(None, [("ce_type", b"Other.v1")], b"k")


def test_the_bare_validator_is_offered_for_a_single_event() -> None:
    """The engine may call it directly, and have its error explained."""
    assert ONE.fast is not None
    assert ONE.fast_headers == TopicEncoder("t", [Placed], "order_id").encode(EVENT)[2]
    assert ONE.fast(GOOD) == EVENT
    with pytest.raises(ValidationError) as caught:
        ONE.fast(b"{}")
    assert isinstance(ONE.explain(caught.value, b"{}"), InvalidEvent)
    assert TWO.fast is None
    assert set(TWO.by_type) >= {b"Placed.v1", b"Placed.v2", b"Placed.v3", b"Cancelled.v1"}


def test_two_events_of_one_name_are_refused() -> None:
    """A topic could not tell them apart."""

    class Second(Event, name="Placed"):
        pass

    with pytest.raises(SchemaError, match="share the event name 'Placed'"):
        EventDecoder([Placed, Second])


def test_a_topic_without_events_is_refused() -> None:
    """There would be nothing to decode to."""
    with pytest.raises(SchemaError, match="at least one"):
        EventDecoder([])


@given(
    value=st.none() | st.binary(max_size=60),
    headers=st.lists(st.tuples(st.sampled_from(["ce_type", "x"]), st.binary(max_size=12)), max_size=2),
)
def test_any_bytes_give_an_event_or_a_decode_error(
    value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    """No record, however broken, raises anything outside the tree."""
    for decoder in (ONE, TWO):
        with suppress(DecodeError):
            assert isinstance(decoder.decode(value, headers, b"k"), (Event, Tombstone))
