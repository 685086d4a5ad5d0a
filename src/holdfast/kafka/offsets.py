"""Where topics begin and end, for many partitions in one call."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures import wait as wait_for

from confluent_kafka import IsolationLevel, KafkaError, KafkaException
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined] # re-exported silently

from holdfast.errors import BrokersUnreachable, ClusterError
from holdfast.kafka.errors import kafka_error, mapped, translate
from holdfast.kafka.probe import require_brokers
from holdfast.kafka.settings import Properties, admin_config
from holdfast.record import TopicPartition

CALL_S = 8.0
"""Seconds for one call, so that a command that finds no broker says so within 10."""

_ATTEMPTS = 3
"""Parts of a call's time for one attempt: a client waits for a dead leader for as long as it may."""

_BETWEEN_S = 0.1
"""Seconds before the next attempt, so that brokers that elect a leader are not asked in a busy loop."""

_STALE = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._TRANSPORT,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
    }
)
"""Answers, or none, of a cluster whose leaders changed since the client last asked for them."""


class OffsetAdmin:
    """Asks a cluster for the bounds of partitions. Every call blocks, at most about `timeout` seconds.

    The client keeps the leaders that it once learned. When one of them does not answer any more, or says
    that it leads no longer, the question is asked again by a new client, within the same `timeout`.

    Args:
        bootstrap_servers: `host:port` of some brokers, separated by commas.
        properties: the user's own client properties.
        timeout: seconds for one call.

    Raises:
        BrokersUnreachable: no broker answered in time.
        ClusterError: the client refuses the properties.
    """

    def __init__(
        self, bootstrap_servers: str, properties: Properties | None = None, *, timeout: float = CALL_S
    ) -> None:
        self._servers = bootstrap_servers
        self._properties = properties
        self._timeout = timeout
        require_brokers(bootstrap_servers, properties, timeout=timeout)
        self._client = self._connect()

    def partitions(self, topics: Iterable[str]) -> dict[str, tuple[TopicPartition, ...]]:
        """The partitions of those of the named topics that exist.

        Raises:
            BrokersUnreachable: the brokers do not answer any more.
        """
        with mapped(f"listing the topics of {self._servers}"):
            found = self._client.list_topics(timeout=self._timeout).topics
        return {
            name: tuple(TopicPartition(name, number) for number in sorted(found[name].partitions))
            for name in topics
            if name in found and found[name].partitions
        }

    def ends(self, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last committed record (the last stable offset) of each partition.

        Raises:
            ClusterError: the offsets cannot be read, for example since a topic does not exist.
        """
        return self._offsets(places, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)  # type: ignore[no-untyped-call] # it has no types

    def high_watermarks(self, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last replicated record of each partition, open transactions included.

        Raises:
            ClusterError: the offsets cannot be read, for example since a topic does not exist.
        """
        return self._offsets(places, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)  # type: ignore[no-untyped-call] # it has no types

    def begins(self, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The first offset that each partition still keeps.

        Raises:
            ClusterError: the offsets cannot be read, for example since a topic does not exist.
        """
        return self._offsets(places, OffsetSpec.earliest(), IsolationLevel.READ_COMMITTED)  # type: ignore[no-untyped-call] # it has no types

    def _connect(self) -> AdminClient:
        with mapped(f"connecting to {self._servers}"):
            return AdminClient(admin_config(self._servers, self._properties))

    def _offsets(
        self, places: Collection[TopicPartition], which: OffsetSpec, isolation: IsolationLevel
    ) -> dict[TopicPartition, int]:
        """Ask once, and by new clients again while leaders change."""
        if not places:
            return {}
        doing = f"reading offsets on {self._servers}"
        asked = {ClientPartition(*place): which for place in places}
        deadline = time.monotonic() + self._timeout
        while True:
            left = deadline - time.monotonic()
            try:
                return self._ask(asked, isolation, max(1.0, min(left, self._timeout / _ATTEMPTS)))
            except (FutureTimeout, KafkaException) as error:
                self._require_stale(error, doing, places)
                if time.monotonic() + _BETWEEN_S >= deadline:
                    raise BrokersUnreachable(
                        f"{doing}: no answer within {self._timeout:.0f} s. Check that the brokers run, and "
                        "with `holdfast topics` that every partition has a leader."
                    ) from error
            time.sleep(_BETWEEN_S)
            self._client = self._connect()

    def _ask(
        self, asked: dict[ClientPartition, OffsetSpec], isolation: IsolationLevel, timeout: float
    ) -> dict[TopicPartition, int]:
        answers = self._client.list_offsets(asked, isolation_level=isolation, request_timeout=timeout)
        wait_for(answers.values(), timeout + 1.0)
        found = {
            TopicPartition(each.topic, each.partition): int(answer.result(0.0).offset)
            for each, answer in answers.items()
        }
        if any(offset < 0 for offset in found.values()):
            # The client says so, and names no error, of partitions whose leader it knows did not answer.
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return found

    def _require_stale(self, error: Exception, doing: str, places: Collection[TopicPartition]) -> None:
        """Return if a client that learns the leaders anew may have more luck; raise our error if not."""
        if not isinstance(error, KafkaException):
            return
        code = kafka_error(error).code()
        if code in _STALE:
            return
        if code != KafkaError._NOENT:
            raise translate(error, doing) from error
        # The client says so of topics that do not exist and of partitions that nobody leads.
        known = self.partitions({place.topic for place in places})
        missing = sorted({place.topic for place in places if place not in known.get(place.topic, ())})
        if missing:
            raise ClusterError(
                f"{doing}: there is no such topic or partition ({', '.join(missing)}). Create topics with "
                "`holdfast apply`."
            ) from error


def silence(doing: str, timeout: float) -> BrokersUnreachable:
    """The error for a call that was not answered."""
    return BrokersUnreachable(f"{doing}: no answer within {timeout:.0f} s. Check that the brokers run.")
