"""Records for another Kafka cluster: what handlers may return, what becomes of it, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from holdfast import Event
from holdfast.errors import HandlerError, SinkRefused
from holdfast.sinks.kafka import KafkaRecord
from holdfast.sinks.kafka.encode import Encoder
from holdfast.testing import MemoryMessage

MESSAGE = MemoryMessage("orders", 3, 7, key=b"k", value=b"{}", timestamp=1_700_000_000_000)
SIZE = KafkaError.MSG_SIZE_TOO_LARGE


class Total(Event):
    customer: str
    total: Decimal


def encoded(record: KafkaRecord, most: int = 1_000_000) -> Any:
    """What is sent for a record."""
    return Encoder(most).encode(record, MESSAGE)


def test_bytes_and_text_are_sent_as_they_are() -> None:
    """With the time of the record that they were made from."""
    output = encoded(KafkaRecord("t", "ä", "ö", {"h": "ü", "n": None}))
    assert output == ("t", "ö".encode(), "ä".encode(), 1_700_000_000_000, [("h", "ü"), ("n", None)])
    assert encoded(KafkaRecord("t", None, b"\xff", [("h", b"1"), ("h", b"2")], timestamp=5)) == (
        *("t", b"\xff", None, 5),
        [("h", b"1"), ("h", b"2")],
    )
    assert encoded(KafkaRecord("t", b"k", None)).value is None


def test_an_event_is_written_as_on_topics_of_holdfast() -> None:
    """As JSON, with its type as the first header, so that the other cluster's applications can read it."""
    output = encoded(KafkaRecord("t", 7, Total(customer="ann", total=Decimal("2.50")), {"h": "x"}))
    assert (output.key, output.value) == (b"7", b'{"customer":"ann","total":"2.50"}')
    assert output.headers == [("ce_type", b"Total.v1"), ("h", "x")]


def test_a_key_is_what_can_be_the_key_of_a_topic() -> None:
    """A number that two languages write in two ways is refused."""
    assert encoded(KafkaRecord("t", UUID(int=1), b"")).key == str(UUID(int=1)).encode()
    with pytest.raises(SinkRefused, match="cannot be a record of topic 't'"):
        encoded(KafkaRecord("t", 1.5, b""))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"topic": ""}, "goes to a topic, by its name, not ''"),
        ({"topic": 7}, "goes to a topic, by its name, not 7"),
        ({"value": {"a": 1}}, "bytes, text, an event, or None for a tombstone, not dict; encode it in"),
        ({"timestamp": 1.5}, "milliseconds since the epoch, a whole number, not 1.5"),
        ({"timestamp": -1}, "milliseconds since the epoch, a whole number, not -1"),
    ],
)
def test_what_can_never_be_a_record_is_told_in_the_handler(wrong: dict[str, Any], told: str) -> None:
    """On the line that makes it."""
    with pytest.raises(HandlerError, match=told):
        KafkaRecord(**{"topic": "t", "key": "k", "value": b"v", **wrong})


def test_text_that_is_no_utf8_is_refused() -> None:
    """And so is a header that is none."""
    for record in (
        KafkaRecord("t", "\ud800", b""),
        KafkaRecord("t", "k", "\ud800"),
        KafkaRecord("t", "k", b"", {"h": 5}),  # type: ignore[dict-item] # that is the mistake
    ):
        with pytest.raises(SinkRefused, match="topic 't'"):
            encoded(record)


@contextmanager
def client(most: int) -> Iterator[Producer]:
    """A client without brokers: it looks at sizes all the same."""
    made = Producer({"bootstrap.servers": "127.0.0.1:1", "message.max.bytes": most, "log_level": 0})
    yield made
    made.purge()


@pytest.mark.parametrize("header", [0, 1, 63, 64, 8_191, 8_192])
def test_what_the_client_would_not_take_is_refused_before(header: int) -> None:
    """To the byte: a record that it refuses in the midst of a transaction would cost all others theirs."""
    headers = {"name": b"x" * header, "none": None}

    def record(value: int) -> KafkaRecord:
        return KafkaRecord("t", "key", b"v" * value, headers)

    fits = max(value for value in range(1_000, 10_000 - header) if _is_taken(record(value), 10_000))
    with client(10_000) as producer:
        producer.produce("t", b"v" * fits, b"key", headers=list(headers.items()))
        with pytest.raises(KafkaException) as caught:
            producer.produce("t", b"v" * (fits + 1), b"key", headers=list(headers.items()))
    assert caught.value.args[0].code() == SIZE


def _is_taken(record: KafkaRecord, most: int) -> bool:
    try:
        encoded(record, most)
    except SinkRefused:
        return False
    return True


def test_a_record_that_is_too_large_says_what_to_raise() -> None:
    """It is a property of the client."""
    with pytest.raises(SinkRefused, match=r"it has 137 bytes, and `message.max.bytes` of the sink"):
        encoded(KafkaRecord("t", "k", b"v" * 100), most=100)
