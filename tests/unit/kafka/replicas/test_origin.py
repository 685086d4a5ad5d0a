"""Where records came from, told from the client's own words."""

from __future__ import annotations

import logging

import pytest

from holdfast.kafka.replicas.origin import FetchWitness, answered
from holdfast.record import TopicPartition

PLACE = TopicPartition("my.topic_1", 3)


def line(broker: int, last: int, place: TopicPartition = PLACE, kind: str = "") -> str:
    """What librdkafka 2.16 says when it has taken records from a fetch answer."""
    address = f"127.0.0.1:2601{broker}/{broker}"
    return (
        f"CONSUME [rdkafka#consumer-12] [thrd:{address}]: {address}: Enqueue 1264 {kind}message(s) "
        f"(132511 bytes, 1264 ops) on {place.topic} [{place.partition}] fetch queue (qlen 3458, v2, "
        f"last_offset {last}, 1 ctrl msgs, 0 aborted msgsets, uncompressed)"
    )


def said(*lines: str) -> FetchWitness:
    """A witness that heard these lines."""
    witness = FetchWitness()
    for text in lines:
        witness.log(logging.DEBUG, "%s", text)
    return witness


def test_each_offset_has_the_broker_that_served_it() -> None:
    """Also when the client went over to another one in between."""
    witness = said(line(2, 9), line(2, 19, kind="compressed "), line(1, 24), line(2, 30))
    found = [witness.served(PLACE, offset) for offset in (0, 9, 10, 19, 20, 24, 25, 30, 31)]
    assert found == [2, 2, 2, 2, 1, 1, 2, 2, None]


def test_partitions_are_kept_apart() -> None:
    """A line about one says nothing about another."""
    witness = said(
        line(2, 9), line(3, 9, TopicPartition("my.topic_1", 4)), line(1, 9, TopicPartition("t", 3))
    )
    assert witness.served(PLACE, 5) == 2
    assert witness.served(TopicPartition("my.topic_1", 4), 5) == 3
    assert witness.served(TopicPartition("other", 0), 5) is None


@pytest.mark.parametrize(
    "text",
    [
        "nothing of interest",
        line(2, 9).replace("Enqueue", "Queued"),
        line(2, 9).replace("/2: Enqueue", "Enqueue"),
        line(2, 9).replace("last_offset", "last"),
        line(2, -1),
    ],
)
def test_what_is_not_said_is_not_proven(text: str) -> None:
    """Another wording of another version of the client ends in no proof, never in a wrong one."""
    assert said(text).served(PLACE, 5) is None


def test_what_was_forgotten_proves_nothing() -> None:
    """A partition that is read no longer."""
    witness = said(line(2, 9))
    witness.forget(PLACE)
    assert witness.served(PLACE, 5) is None


def test_other_lines_go_where_those_of_other_clients_go(caplog: pytest.LogCaptureFixture) -> None:
    """Warnings are not lost, and the flood of debug lines does not get there."""
    witness = FetchWitness()
    with caplog.at_level(logging.DEBUG, "holdfast.kafka.client"):
        witness.log(logging.WARNING, "%s [%s] %s", "FETCH", "rdkafka#consumer-1", "a thing to know")
        witness.log(logging.DEBUG, "%s", line(2, 9))
    assert [record.getMessage() for record in caplog.records] == [
        "FETCH [rdkafka#consumer-1] a thing to know"
    ]


def test_what_could_not_be_read_has_a_broker_too() -> None:
    """A set with a damaged batch hands out one thing more than it has records; one fault for each error."""
    half = line(2, 1999).replace("Enqueue 1264", "Enqueue 2000").replace("1264 ops", "2001 ops")
    none = line(1, -1).replace("Enqueue 1264", "Enqueue 0").replace("1264 ops", "1 ops")
    witness = said(half, none, line(3, 2500))
    assert [witness.faulty(PLACE) for _ in range(3)] == [2, 1, None]
    assert witness.served(PLACE, 1999) == 2


def test_an_error_says_whose_answer_it_was() -> None:
    """In the words of librdkafka 2.16."""
    end = "Fetch from broker 12 reached end of partition at offset 10002 (HighwaterMark 10002)"
    failed = "Fetch from broker 3 failed at offset 7 (leader epoch 0): Broker: Unknown broker error"
    assert (answered(end), answered(failed)) == (12, 3)
    assert answered("reached end of partition at offset 10002") is None
