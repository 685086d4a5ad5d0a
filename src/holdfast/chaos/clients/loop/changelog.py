"""Reading a changelog: every committed state of some shards, to an end that is certain."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from holdfast.chaos.clients.loop.settings import CALL_S, reader

RESTORE_S = 60.0
"""Seconds for a restore. A transaction that a dead worker left open may hold it up for some 20."""


class Changelog:
    """The compacted topic with the states.

    Args:
        servers: the brokers.
        topic: its name.
        decode: bytes to state.
        isolation: which records are read.
    """

    def __init__(
        self,
        servers: str,
        topic: str,
        decode: Callable[[bytes], Any],
        isolation: str = "read_committed",
    ) -> None:
        self._servers = servers
        self._topic = topic
        self._decode = decode
        self._isolation = isolation

    def restore(self, shards: Collection[int]) -> dict[int, dict[bytes, Any]]:
        """The states of some shards.

        The end is the high watermark: a transaction that is open below it belongs to who had the shard
        before, and whether it counts is known only when it has ended.

        Raises:
            KafkaException: the brokers do not answer, or not in time.
        """
        ends = self._ends(shards)
        states: dict[int, dict[bytes, Any]] = {shard: {} for shard in shards}
        left = {shard for shard, end in ends.items() if end > 0}
        consumer = Consumer(reader(self._servers, self._isolation))
        try:
            consumer.assign([TopicPartition(self._topic, shard, 0) for shard in left])
            deadline = time.monotonic() + RESTORE_S
            while left:
                if time.monotonic() > deadline:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "restoring the state"))
                for message in consumer.consume(1_000, 0.1):
                    shard, error = message.partition() or 0, message.error()
                    if error is None:
                        states[shard][message.key() or b""] = self._decode(message.value() or b"")
                    elif error.code() == KafkaError._PARTITION_EOF and _offset(message) >= ends[shard]:
                        left.discard(shard)
        finally:
            consumer.close()
        return states

    def _ends(self, shards: Collection[int]) -> dict[int, int]:
        """High watermarks; only a reader of uncommitted records is told them."""
        consumer = Consumer(reader(self._servers, "read_uncommitted"))
        try:
            return {
                shard: consumer.get_watermark_offsets(TopicPartition(self._topic, shard), CALL_S)[1]
                for shard in shards
            }
        finally:
            consumer.close()


def _offset(message: Message) -> int:
    return message.offset() or 0
