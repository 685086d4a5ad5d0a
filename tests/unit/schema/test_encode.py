"""Events to records: values, headers, keys, tombstones, and refusals."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, computed_field

from holdfast.errors import EventRefused, SchemaError
from holdfast.schema import Event, EventDecoder, Tombstone, TopicEncoder, encode_key


class Placed(Event, version=2, oldest=2):
    order_id: str
    customer_id: str | None = Field(alias="customerId")
    amount: Decimal = Decimal("1.50")


class Cancelled(Event):
    order_id: str


class Reading(Event):
    sensor: int
    at: datetime
    celsius: float
    tags: tuple[str, ...]
    raw: bytes


ENCODER = TopicEncoder("orders", [Placed], "customer_id")


def test_an_event_becomes_key_value_and_one_header() -> None:
    """The value is compact JSON under the wire names; one header carries name and version."""
    key, value, headers = ENCODER.encode(Placed(order_id="o-1", customer_id="c-ü"))
    assert key == "c-ü".encode()
    assert value == b'{"order_id":"o-1","customerId":"c-\xc3\xbc","amount":"1.50"}'.replace(
        b"\xc3\xbc", "ü".encode()
    )
    assert headers == [("ce_type", b"Placed.v2")]


def test_cloudevents_are_complete_and_have_unique_ids() -> None:
    """With the option on, all required attributes of CloudEvents' binary mode are there."""
    encoder = TopicEncoder("orders", [Placed], "customer_id", cloudevents=True, source="shop")
    seen = set()
    for _ in range(3):
        headers = dict(encoder.encode(Placed(order_id="o-1", customer_id="c"))[2])
        assert headers["ce_specversion"] == b"1.0"
        assert headers["ce_source"] == b"shop"
        assert headers["content-type"] == b"application/json"
        seen.add(headers["ce_id"])
    assert len(seen) == 3
    again = TopicEncoder("orders", [Placed], "customer_id", cloudevents=True)
    assert dict(again.encode(Placed(order_id="o-1", customer_id="c"))[2])["ce_id"] not in seen


def test_a_topic_without_a_key_field_writes_no_key() -> None:
    """Its records spread over the partitions."""
    assert TopicEncoder("t", [Cancelled], None).encode(Cancelled(order_id="o"))[0] is None


def test_a_tombstone_has_a_key_its_type_and_no_value() -> None:
    """The header lets readers of a topic with several events know what was deleted."""
    assert ENCODER.encode(Tombstone(Placed, "c-1")) == (b"c-1", None, [("ce_type", b"Placed.v2")])
    assert ENCODER.encode(Tombstone(None, b"c-1")) == (b"c-1", None, [("ce_type", b"Placed.v2")])


def test_a_tombstone_that_was_read_can_be_written_again() -> None:
    """Keys that were read are bytes, and stay the same bytes."""
    read = EventDecoder([Placed]).decode(None, None, b"\xff\x00")
    assert ENCODER.encode(read)[:2] == (b"\xff\x00", None)


def test_a_tombstone_without_a_key_is_refused() -> None:
    """It would delete nothing."""
    with pytest.raises(EventRefused, match="deletes nothing"):
        ENCODER.encode(Tombstone(Placed, None))
    with pytest.raises(EventRefused, match="deletes nothing"):
        TopicEncoder("t", [Cancelled], None).encode(Tombstone(Cancelled, "x"))


def test_an_event_that_the_topic_does_not_declare_is_refused() -> None:
    """The error names the topic, the event, and what is declared."""
    for wrong in (Cancelled(order_id="o"), Tombstone(Cancelled, "o")):
        with pytest.raises(EventRefused, match=r"orders does not declare Cancelled \(it declares Placed\)"):
            ENCODER.encode(wrong)


def test_a_subclass_of_a_declared_event_is_not_declared() -> None:
    """It has another contract, which readers of the topic would not know."""

    class Special(Placed):
        extra: int = 1

    with pytest.raises(EventRefused, match="does not declare Special"):
        ENCODER.encode(Special(order_id="o", customer_id="c"))


def test_a_missing_key_is_refused_with_its_field() -> None:
    """None is no key: such records would lose their order."""
    with pytest.raises(EventRefused, match=r"orders, Placed\.customer_id: the key is None"):
        ENCODER.encode(Placed(order_id="o", customer_id=None))


def test_a_key_field_that_an_event_lacks_is_a_schema_error() -> None:
    """Found when the encoder is made, before anything is published."""
    with pytest.raises(SchemaError, match=r"keyed by 'customer_id', but Cancelled has no such field"):
        TopicEncoder("orders", [Placed, Cancelled], "customer_id")


def test_a_computed_field_may_be_the_key() -> None:
    """Composite keys are computed from several fields."""

    class Sold(Event):
        store: str
        sku: str

        @computed_field  # type: ignore[prop-decorator]
        @property
        def store_sku(self) -> str:
            return f"{self.store}/{self.sku}"

    assert TopicEncoder("t", [Sold], "store_sku").encode(Sold(store="a", sku="b"))[0] == b"a/b"


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Pair(Enum):
    ONE = "one"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("ä", "ä".encode()),
        ("", b""),
        (-12, b"-12"),
        (uuid.UUID(int=5), b"00000000-0000-0000-0000-000000000005"),
        (date(2026, 1, 2), b"2026-01-02"),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), b"2026-01-02T03:00:00+00:00"),
        (Decimal("1.20"), b"1.20"),
        (Colour.RED, b"red"),
        (Level.LOW, b"1"),
        (Pair.ONE, b"one"),
        (b"\xff", b"\xff"),
    ],
)
def test_a_key_is_the_plain_text_of_its_value(key: object, expected: bytes) -> None:
    """So that producers in other languages write the same bytes. Twice, as encoders are remembered."""
    assert encode_key(key) == expected
    assert encode_key(key) == expected


@pytest.mark.parametrize("key", [None, 1.5, True, ["a"], object(), "\ud800"])
def test_a_key_without_settled_text_is_refused(key: object) -> None:
    """Floats, booleans, collections and broken text cannot decide a partition."""
    with pytest.raises(EventRefused):
        encode_key(key)


def test_what_cannot_be_written_as_json_is_refused() -> None:
    """A value that went past validation is found when it is written."""
    broken = Placed.model_construct(order_id=object(), customer_id="c", amount=Decimal(1))
    with pytest.raises(EventRefused, match="Placed cannot be written as JSON"):
        ENCODER.encode(broken)


@given(
    st.builds(
        Reading,
        sensor=st.integers(-(2**63), 2**63),
        at=st.datetimes(timezones=st.just(UTC)),
        celsius=st.floats(allow_nan=False, allow_infinity=False),
        tags=st.lists(st.text(st.characters(codec="utf-8"))).map(tuple),
        raw=st.binary(),
    )
)
def test_every_event_survives_the_round_trip(event: Reading) -> None:
    """What is decoded equals what was encoded, and the value is JSON for everybody."""
    key, value, headers = TopicEncoder("t", [Reading], "sensor").encode(event)
    assert value is not None
    parsed: dict[str, Any] = json.loads(value, parse_constant=pytest.fail)
    assert parsed["sensor"] == event.sensor
    assert EventDecoder([Reading]).decode(value, headers, key) == event
