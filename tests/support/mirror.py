"""A topic on the cluster that a Kafka sink writes to, as consumers there see it: committed records only."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as ClientPartition

from holdfast.kafka.admin import TopicAdmin
from holdfast.record import Message
from holdfast.sinks.kafka.positions import STANDING_KEY
from holdfast.topology import TopicSpec

_CALL_S: Final = 10.0
_PATIENCE_S: Final = 60.0


class MirrorTopic:
    """A topic, read again and again from where the last look ended.

    Args:
        servers: the brokers.
        name: its name.
        partitions: how many it has.
        settings: of the topic; it is created with them. With None it is there already.
    """

    def __init__(
        self, servers: str, name: str, partitions: int = 1, settings: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.servers = servers
        self._records: list[Message] = []
        self._positions = dict.fromkeys(range(partitions), 0)
        if settings is not None:
            admin = TopicAdmin(servers)
            copies = min(3, admin.broker_count())
            admin.create([TopicSpec(name, partitions, copies, settings)])
        settings_of_clients = {
            "bootstrap.servers": servers,
            "group.id": "mirror-tests",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 20,
            "log_level": 0,
        }
        self._client = Consumer({**settings_of_clients, "isolation.level": "read_committed"})
        self._all = Consumer({**settings_of_clients, "isolation.level": "read_uncommitted"})
        self._client.assign([ClientPartition(name, number, 0) for number in self._positions])

    def records(self) -> list[Message]:
        """All records that are committed by now, in order within each partition.

        A commit is acknowledged before its markers are written: what is open now is waited for.
        """
        deadline = time.monotonic() + _PATIENCE_S
        ends = {number: self._end(number, deadline) for number in self._positions}
        while any(self._positions[number] < end for number, end in ends.items()):
            assert time.monotonic() < deadline, f"{self.name}: not read in time"
            for record in self._client.consume(1_000, 0.05):
                if record.error() is None:
                    self._records.append(record)
            # The client's own: it is beyond markers, and records that were aborted.
            for place in self._client.position([ClientPartition(self.name, n) for n in ends]):
                self._positions[place.partition] = max(self._positions[place.partition], place.offset)
        return list(self._records)

    def _end(self, number: int, deadline: float) -> int:
        """Where all records end, committed or not."""
        while True:
            try:
                _, end = self._all.get_watermark_offsets(ClientPartition(self.name, number), timeout=_CALL_S)
            except KafkaException:
                assert time.monotonic() < deadline, f"{self.name}[{number}]: no answer"
            else:
                return int(end)

    def values(self) -> list[bytes | None]:
        """Their values."""
        return [record.value() for record in self.records()]

    def by_key(self) -> dict[bytes | None, list[bytes | None]]:
        """The values of each key, in their order."""
        found: dict[bytes | None, list[bytes | None]] = {}
        for record in self.records():
            found.setdefault(record.key(), []).append(record.value())
        return found

    def close(self) -> None:
        """Let go of the clients."""
        self._client.close()
        self._all.close()


def standing(servers: str, topic: str, shard: int) -> Any:
    """What a topic of positions says of a shard."""
    view = MirrorTopic(servers, topic, shard + 1)
    try:
        kept = [it for it in view.records() if it.partition() == shard and it.key() == STANDING_KEY]
        return json.loads(kept[-1].value() or b"null") if kept else None
    finally:
        view.close()
