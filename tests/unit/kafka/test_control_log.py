"""The clients of the breakers' topic, against the mock brokers that librdkafka brings along."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from holdfast.errors import ClusterError
from holdfast.kafka import control_log
from holdfast.kafka.control_log import ControlLog

TOPIC = "shop.controls"


@pytest.fixture
def servers() -> Iterator[str]:
    """Give mock brokers with a topic of two records; they end with the client that made them."""
    host = Producer({"test.mock.num.brokers": 3, "log_level": 0})
    host.produce(TOPIC, b"1", b"a", 0)
    host.produce(TOPIC, None, b"b", 0)
    assert host.flush(10) == 0
    brokers = host.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{each.host}:{each.port}" for each in brokers)
    host.poll(0)


def read(log: ControlLog, count: int) -> list[tuple[bytes | None, bytes | None]]:
    """The next records."""
    found: list[tuple[bytes | None, bytes | None]] = []
    deadline = time.monotonic() + 10
    while len(found) < count:
        assert time.monotonic() < deadline, found
        found += [(each.key(), each.value()) for each in log.read(0.1)[0]]
    return found


def test_it_is_read_from_its_beginning_and_its_end_is_known_with_the_last_record(servers: str) -> None:
    """Who begins waits no longer than that for what was ordered before."""
    with contextlib.closing(ControlLog(servers, TOPIC)) as log:
        records, is_end = log.read(5.0)
        while not is_end:
            more, is_end = log.read(0.1)
            records += more
        assert [(each.key(), each.value()) for each in records] == [(b"a", b"1"), (b"b", None)]


def test_what_one_writes_the_others_read(servers: str) -> None:
    """Also who wrote it."""
    with (
        contextlib.closing(ControlLog(servers, TOPIC)) as one,
        contextlib.closing(ControlLog(servers, TOPIC)) as other,
    ):
        one.write(b"c", b"3")
        one.flush()
        assert read(one, 3)[2:] == read(other, 3)[2:] == [(b"c", b"3")]


def test_brokers_that_do_not_answer_are_an_error_and_not_a_wait_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says what was tried."""
    monkeypatch.setattr(control_log, "CALL_S", 1.0)
    with pytest.raises(ClusterError, match=r"shop\.controls\[0\]"):
        ControlLog("127.0.0.1:1", TOPIC)
