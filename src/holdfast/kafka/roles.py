"""Which broker has which part: leader of a partition, coordinator of a group or of a transactional id."""

from __future__ import annotations

from concurrent.futures import TimeoutError as FutureTimeout

from confluent_kafka.admin import AdminClient

from holdfast.errors import ClusterError
from holdfast.kafka.errors import mapped
from holdfast.kafka.members import CLIENT_WAIT_S
from holdfast.kafka.offsets import silence
from holdfast.kafka.quorum import quorum_leader
from holdfast.kafka.settings import Properties, admin_config
from holdfast.record import TopicPartition

_TRANSACTIONS = "__transaction_state"


class BrokerRoles:
    """Looks up who has which part at the moment. Every call asks anew, and blocks at most about `timeout`.

    Args:
        bootstrap_servers: ``host:port`` of some brokers, separated by commas.
        properties: the user's own client properties.
        timeout: seconds for one call.
    """

    def __init__(
        self, bootstrap_servers: str, properties: Properties | None = None, *, timeout: float = 10.0
    ) -> None:
        self._servers = bootstrap_servers
        self._timeout = timeout
        with mapped(f"connecting to {bootstrap_servers}"):
            self._client = AdminClient(admin_config(bootstrap_servers, properties))

    def leader(self, place: TopicPartition) -> int:
        """The broker that leads a partition.

        Raises:
            ClusterError: there is no such partition, or nobody leads it now.
        """
        leader = self._partition(place).leader
        if leader < 0:
            raise ClusterError(f"nobody leads {place.topic}/{place.partition} at the moment")
        return int(leader)

    def leaders(self, topic: str) -> dict[int, int]:
        """The broker that leads each partition of a topic; -1 where nobody does."""
        return {number: int(found.leader) for number, found in self._topic(topic).items()}

    def followers(self, place: TopicPartition) -> tuple[int, ...]:
        """The brokers that have an in-sync copy of a partition and do not lead it; none if nobody leads."""
        found = self._partition(place)
        if found.leader < 0:
            # Whoever was in sync last is told still, and is down.
            return ()
        return tuple(sorted(int(node) for node in found.isrs if node != found.leader))

    def group_coordinator(self, group: str) -> int:
        """The broker that coordinates a group, and so keeps its offsets.

        Raises:
            ClusterError: nobody does at the moment.
        """
        doing = f"looking for the coordinator of group {group}"
        with mapped(doing):
            answers = self._client.describe_consumer_groups([group], request_timeout=CLIENT_WAIT_S)
            try:
                return int(answers[group].result(self._timeout).coordinator.id)
            except FutureTimeout as error:
                raise silence(doing, self._timeout) from error

    def transaction_coordinator(self, transactional_id: str) -> int:
        """The broker that coordinates a transactional id: the leader of the id's partition.

        Source: `Utils.abs(id.hashCode) % partitions` (TransactionStateManager.partitionFor).
        """
        count = len(self._topic(_TRANSACTIONS))
        return self.leader(
            TopicPartition(_TRANSACTIONS, (_java_hash(transactional_id) & 0x7FFF_FFFF) % count)
        )

    def controller(self) -> int:
        """The node that leads the controllers' quorum."""
        return quorum_leader(self._servers)

    def _partition(self, place: TopicPartition):  # type: ignore[no-untyped-def] # the client has no types
        partitions = self._topic(place.topic)
        if place.partition not in partitions:
            raise ClusterError(f"{place.topic} has no partition {place.partition}; it has {len(partitions)}")
        return partitions[place.partition]

    def _topic(self, name: str):  # type: ignore[no-untyped-def] # the client has no types
        with mapped(f"asking {self._servers} for {name}"):
            found = self._client.list_topics(name, timeout=self._timeout).topics[name].partitions
        if not found:
            raise ClusterError(f"there is no topic {name} on {self._servers}")
        return found


def _java_hash(text: str) -> int:
    """`String.hashCode` of Java, for text of the basic plane."""
    value = 0
    for char in text:
        value = (31 * value + ord(char)) & 0xFFFF_FFFF
    return value
