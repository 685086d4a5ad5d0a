"""What comes from the replica that was meant, and what does not."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest
from confluent_kafka import KafkaError

from holdfast.kafka.replicas.origin import FetchWitness
from holdfast.kafka.replicas.sort import Batch, Sorter, Trouble
from holdfast.record import TopicPartition

PLACE = TopicPartition("t", 0)
MEANT, OTHER = 2, 1


@dataclass(frozen=True)
class Handed:
    """A record or an error, in the shape of the client's message."""

    at: int
    failed: KafkaError | None = None
    number: int = 0

    def error(self) -> KafkaError | None:
        """The error, None for a record."""
        return self.failed

    def topic(self) -> str:
        """Its topic."""
        return "t"

    def partition(self) -> int:
        """Its partition."""
        return self.number

    def offset(self) -> int:
        """Its offset."""
        return self.at

    def timestamp(self) -> tuple[int, int]:
        """A timestamp that grows with the offset."""
        return (1, 1000 + self.at)


def fetched(broker: int, last: int, records: int = 1, handed: int | None = None) -> str:
    """The client's line about a set of records."""
    return (
        f"[thrd:h:1/{broker}]: h:1/{broker}: Enqueue {records} message(s) (9 bytes, "
        f"{records if handed is None else handed} ops) on t [0] fetch queue (qlen 0, v2, last_offset {last}, "
        "0 ctrl msgs, 0 aborted msgsets, uncompressed)"
    )


def end(broker: int, at: int) -> Handed:
    """The report that a broker's replica ends."""
    text = f"Fetch from broker {broker} reached end of partition at offset {at} (HighwaterMark {at})"
    return Handed(at, KafkaError(KafkaError._PARTITION_EOF, text))


def sort(messages: list[Handed], *lines: str, position: int = 0) -> tuple[Batch[int], list[Handed]]:
    """Sort messages after these lines were heard, keeping their offsets."""
    witness = FetchWitness()
    for line in lines:
        witness.log(logging.DEBUG, "%s", line)
    sorter = Sorter(PLACE, MEANT, witness, lambda record: record.offset())
    return sorter.sort(messages, position)


def records(*offsets: int) -> list[Handed]:
    """Records at offsets."""
    return [Handed(at) for at in offsets]


def test_records_of_the_replica_are_kept_and_its_end_moves_the_position() -> None:
    """The end may lie behind markers that no reader sees."""
    batch, left = sort([*records(0, 1, 4), end(MEANT, 6)], fetched(MEANT, 5))
    assert batch == Batch([(0, 0), (1, 1), (4, 4)], 6)
    assert left == []


def test_records_of_another_broker_are_passed_and_not_kept() -> None:
    """With where they end and how new they are."""
    batch, _ = sort(records(0, 1, 2, 3), fetched(OTHER, 1), fetched(MEANT, 3))
    assert batch == Batch([(2, 2), (3, 3)], 4, foreign=2, foreign_time=1001)


def test_a_batch_ends_where_another_broker_takes_over() -> None:
    """So that what is foreign always precedes what is kept."""
    lines = (fetched(MEANT, 1), fetched(OTHER, 3))
    batch, left = sort(records(0, 1, 2, 3), *lines)
    assert (batch, left) == (Batch([(0, 0), (1, 1)], 2), records(2, 3))
    assert sort(left, *lines, position=2)[0] == Batch([], 4, foreign=4, foreign_time=1003)


def test_records_without_proof_are_foreign() -> None:
    """Nobody said where they came from."""
    assert sort(records(0, 1))[0] == Batch([], 2, foreign=2, foreign_time=1001)


def test_the_end_of_another_brokers_replica_is_not_the_end_of_this_one() -> None:
    """Beyond its last record the replica was not read."""
    assert sort([*records(0), end(OTHER, 3)], fetched(MEANT, 0))[1] == [end(OTHER, 3)]
    assert sort([end(OTHER, 3)], position=1)[0] == Batch([], 3, foreign=3)
    # But an end that was reached says nothing new, whoever reports it.
    assert sort([end(OTHER, 3)], position=3)[0] == Batch([], 3)


@pytest.mark.parametrize(("broker", "trouble"), [(MEANT, Trouble.CORRUPT), (OTHER, Trouble.ELSEWHERE)])
def test_damage_belongs_to_the_broker_whose_answer_held_it(broker: int, trouble: Trouble) -> None:
    """What came before it counts."""
    damage = Handed(1, KafkaError(KafkaError._BAD_MSG, "MessageSet at offset 1 failed CRC32C check"))
    lines = (fetched(MEANT, 0), fetched(broker, -1, records=0, handed=1))
    batch, _ = sort([*records(0), damage, *records(5)], *lines)
    assert batch.records == [(0, 0)]
    assert batch.stop is not None
    assert (batch.stop.trouble, batch.stop.offset) == (trouble, 1)


@pytest.mark.parametrize(
    ("code", "text", "trouble"),
    [
        (KafkaError._AUTO_OFFSET_RESET, "fetch failed", Trouble.GONE),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "Fetch from broker 1 failed: no", Trouble.REFUSED),
        (KafkaError.UNKNOWN, "Fetch from broker 2 failed at offset 0: unknown", Trouble.REFUSED),
        (KafkaError.UNKNOWN, "Fetch from broker 1 failed at offset 0: unknown", Trouble.ELSEWHERE),
        (KafkaError.INVALID_MSG, "Fetch from broker 2 failed at offset 0: corrupt", Trouble.CORRUPT),
    ],
)
def test_each_error_has_its_meaning(code: int, text: str, trouble: Trouble) -> None:
    """What every broker would answer is no trouble of another one."""
    stop = sort([Handed(0, KafkaError(code, text))])[0].stop
    assert stop is not None
    assert stop.trouble is trouble


def test_errors_that_pass_and_other_partitions_are_left_out() -> None:
    """The client connects again by itself."""
    away = Handed(-1, KafkaError(KafkaError._TRANSPORT, "disconnected"))
    assert sort([away, Handed(7, number=3), *records(0)], fetched(MEANT, 0))[0] == Batch([(0, 0)], 1)
