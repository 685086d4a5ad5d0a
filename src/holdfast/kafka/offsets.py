"""Where topics begin and end, for many partitions in one call."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import TimeoutError as FutureTimeout

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


class OffsetAdmin:
    """Asks a cluster for the bounds of partitions. Every call blocks, at most about `timeout` seconds.

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
        with mapped(f"connecting to {bootstrap_servers}"):
            self._client = AdminClient(admin_config(bootstrap_servers, properties))

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

    def _offsets(
        self, places: Collection[TopicPartition], which: OffsetSpec, isolation: IsolationLevel
    ) -> dict[TopicPartition, int]:
        if not places:
            return {}
        doing = f"reading offsets on {self._servers}"
        asked = {ClientPartition(*place): which for place in places}
        try:
            answers = self._client.list_offsets(
                asked, isolation_level=isolation, request_timeout=self._timeout
            )
            return {
                TopicPartition(each.topic, each.partition): int(answer.result(self._timeout + 1.0).offset)
                for each, answer in answers.items()
            }
        except FutureTimeout as error:
            raise silence(doing, self._timeout) from error
        except KafkaException as error:
            if kafka_error(error).code() == KafkaError._NOENT:
                topics = ", ".join(sorted({place.topic for place in places}))
                raise ClusterError(
                    f"{doing}: a topic does not exist, or nobody leads its partitions ({topics}). Create "
                    "topics with `holdfast apply`; `holdfast topics` shows leaders."
                ) from error
            raise translate(error, doing) from error


def silence(doing: str, timeout: float) -> BrokersUnreachable:
    """The error for a call that was not answered."""
    return BrokersUnreachable(f"{doing}: no answer within {timeout:.0f} s. Check that the brokers run.")
