"""What the brokers say of themselves and of a topic, as far as reading its replicas goes."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import TimeoutError as FutureTimeout

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined] # re-exported silently

from holdfast.errors import ClusterError
from holdfast.kafka.errors import mapped
from holdfast.kafka.offsets import silence
from holdfast.kafka.replicas.plan import SELECTOR, Brokers, PartitionView
from holdfast.kafka.replicas.verdict import Retention
from holdfast.kafka.settings import Properties, admin_config
from holdfast.record import TopicPartition

_ASK_S = 6.0


class ReplicaFacts:
    """Asks a cluster. Every call blocks, at most some seconds.

    Args:
        bootstrap_servers: `host:port` of some brokers, separated by commas.
        properties: the user's own client properties.

    Raises:
        ClusterError: the client refuses the properties.
    """

    def __init__(self, bootstrap_servers: str, properties: Properties | None = None) -> None:
        self._servers = bootstrap_servers
        with mapped(f"connecting to {bootstrap_servers}"):
            self._client = AdminClient(admin_config(bootstrap_servers, properties))

    def brokers(self) -> Brokers:
        """Who is there, in which racks, and who lets clients read from followers.

        Raises:
            BrokersUnreachable: the brokers do not answer.
            ClusterError: this user may not see the cluster.
        """
        doing = f"asking {self._servers} for its brokers"
        with mapped(doing):
            try:
                nodes = self._client.describe_cluster(request_timeout=_ASK_S).result(_ASK_S + 1.0).nodes
            except FutureTimeout as error:
                raise silence(doing, _ASK_S) from error
        racks = {int(node.id): node.rack or None for node in nodes}
        return Brokers(racks, self._selectors(racks))

    def partitions(self, topic: str) -> tuple[PartitionView, ...]:
        """A topic's partitions; none if it does not exist.

        Raises:
            BrokersUnreachable: the brokers do not answer.
        """
        with mapped(f"asking {self._servers} for the topic {topic}"):
            found = self._client.list_topics(topic, timeout=_ASK_S).topics[topic].partitions
        return tuple(
            PartitionView(
                TopicPartition(topic, number),
                each.leader if each.leader >= 0 else None,
                tuple(each.replicas),
                frozenset(each.isrs),
            )
            for number, each in sorted(found.items())
        )

    def retention(self, topic: str) -> Retention:
        """What the brokers may delete of a topic.

        Raises:
            ClusterError: this user may not see the topic's settings, or the brokers do not answer.
        """
        doing = f"reading the settings of the topic {topic}"
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        with mapped(doing):
            answer = self._client.describe_configs([resource], request_timeout=_ASK_S)[resource]
            try:
                entries = answer.result(_ASK_S + 1.0)
            except FutureTimeout as error:
                raise silence(doing, _ASK_S) from error
        return Retention.of({it.name: it.value for it in entries.values() if it.value is not None})

    def _selectors(self, brokers: Iterable[int]) -> dict[int, str]:
        """Each broker's `replica.selector.class`; a broker that may not say is left out."""
        resources = {ConfigResource(ConfigResource.Type.BROKER, str(number)): number for number in brokers}
        with mapped(f"reading the settings of the brokers of {self._servers}"):
            answers = self._client.describe_configs(list(resources), request_timeout=_ASK_S)
        found = {}
        for resource, answer in answers.items():
            try:
                entries = answer.result(_ASK_S + 1.0)
            except (KafkaException, FutureTimeout):
                # Not for everybody to see. Then reading it shows whether it works.
                continue
            found[resources[resource]] = entries[SELECTOR].value or "" if SELECTOR in entries else ""
        return found


def chosen(views: Iterable[PartitionView], topic: str, numbers: Iterable[int]) -> tuple[PartitionView, ...]:
    """The partitions with the given numbers; all of them if none is given.

    Raises:
        ClusterError: there is no such partition.
    """
    by_number = {view.place.partition: view for view in views}
    wanted = list(numbers)
    missing = [number for number in wanted if number not in by_number]
    if missing:
        raise ClusterError(
            f"{topic} has no partition {missing[0]}; it has {len(by_number)}, from 0 to {max(by_number)}."
        )
    return (
        tuple(by_number[number] for number in dict.fromkeys(wanted)) if wanted else tuple(by_number.values())
    )
