"""Reads one replica after the other, and believes only what it can prove to come from it.

A client in a rack reads the in-sync replica of that rack. It goes back to the leader whenever it likes:
when the replica has fallen behind, when it does not keep the offset, when its broker is gone. What comes
from anywhere but the replica is set apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, TypeVar

from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as ClientPartition

from holdfast.kafka.errors import mapped
from holdfast.kafka.reader import reader_settings
from holdfast.kafka.replicas.origin import FetchWitness
from holdfast.kafka.replicas.sort import Batch, Sorter, Stop, Trouble
from holdfast.kafka.settings import Properties, consumer_config
from holdfast.record import Message, TopicPartition

GROUP = "holdfast-replicas"
"""Group name of the readers; they never join and never commit."""

_BATCH = 500
_WAIT_S = 0.25

T = TypeVar("T")


class ReplicaReader(Generic[T]):
    """Reads partitions from the brokers of one rack, one partition after the other, each once.

    Args:
        bootstrap_servers: `host:port` of some brokers, separated by commas.
        rack: whose replicas; None reads leaders.
        properties: the user's own client properties.
        take: what to keep of a record.
        patience: seconds without any progress after which a replica counts as silent.

    Raises:
        ClusterError: the client refuses the properties.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        rack: str | None,
        properties: Properties | None,
        take: Callable[[Message], T],
        *,
        patience: float,
    ) -> None:
        self._take = take
        self._patience = patience
        self._witness = FetchWitness()
        settings = _settings(bootstrap_servers, rack, properties)
        with mapped("starting a reader of replicas"):
            self._client = Consumer({**settings, "logger": self._witness})
        self._place: TopicPartition | None = None
        self._broker = -1
        self._position = 0
        self._waited = 0.0
        self._pending: list[Any] = []

    def open(self, place: TopicPartition, broker: int, offset: int) -> None:
        """Begin to read a partition, meaning the replica of this broker.

        Ask for a partition once only: what the client's log says of it could else be of an earlier time.
        """
        if self._place is not None:
            self._witness.forget(self._place)
        self._place, self._broker, self._position = place, broker, offset
        self._waited = 0.0
        self._pending = []
        with mapped(f"reading {place}"):
            self._client.assign([ClientPartition(*place, offset)])

    def close(self) -> None:
        """Let go of the client."""
        with mapped("closing a reader of replicas"):
            self._client.close()

    def read(self) -> Batch[T]:
        """Wait a moment for records of the open partition; the batch may be empty.

        Raises:
            ClusterError: the client cannot go on.
        """
        place = self._place
        assert place is not None, "no partition is open"
        began = time.monotonic()
        if not self._pending:
            with mapped(f"reading {place}"):
                self._pending = self._client.consume(_BATCH, _WAIT_S)
        sorter = Sorter(place, self._broker, self._witness, self._take)
        batch, self._pending = sorter.sort(self._pending, self._position)
        # Only the time in here counts: other replicas may be read for long in between.
        self._waited = 0.0 if batch.position > self._position else self._waited + time.monotonic() - began
        self._position = batch.position
        if batch.stop is None and self._waited > self._patience:
            text = f"nothing came for {self._patience:.0f} s"
            return replace(batch, stop=Stop(Trouble.SILENT, batch.position, text))
        return batch


def _settings(bootstrap_servers: str, rack: str | None, properties: Properties | None) -> dict[str, Any]:
    settings = reader_settings(consumer_config(bootstrap_servers, GROUP, properties))
    settings.pop("client.rack", None)
    if rack is not None:
        settings["client.rack"] = rack
    return settings | {
        # Aborted records are on disk like all others.
        "isolation.level": "read_uncommitted",
        "check.crcs": True,
        # What `FetchWitness` listens to; a level of the user's own would hide it.
        "debug": "fetch",
        "log_level": 7,
        # Several readers share the memory; one that had filled its part would rest for a second.
        "queued.max.messages.kbytes": 16_384,
        "fetch.queue.backoff.ms": 20,
    }
