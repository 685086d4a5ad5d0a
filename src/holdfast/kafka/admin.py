"""Topics of a cluster: what is there, creating what is not, and how much they hold."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # it re-exports them without saying so
    AdminClient,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

from holdfast.errors import ClusterError, HoldfastError, TopicRefused
from holdfast.kafka.errors import kafka_error, mapped, translate
from holdfast.kafka.offsets import OffsetAdmin
from holdfast.kafka.probe import UNREACHABLE_AFTER_S, require_brokers
from holdfast.kafka.settings import Properties, admin_config
from holdfast.record import TopicPartition
from holdfast.topology import TopicSpec

_FORBIDDEN = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})
_REFUSED = frozenset(
    {
        KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_REQUEST,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_EXCEPTION,
    }
)
_POLL_S = 0.05
_KNOWN_S = 30.0
"""Seconds for new topics to be known everywhere. Brokers answer meanwhile, so this is no time for silence: on
a busy machine the leaders of many new partitions come one after the other."""
"""Seconds between two looks at a broker that does not know a new topic yet."""


@dataclass(frozen=True)
class TopicState:
    """A topic as a cluster has it.

    Attributes:
        spec: partitions, replication and all settings. A topic whose partitions differ in
            replication has that of its least replicated one.
        leaderless: partitions that nobody leads: they cannot be read or written.
        under_replicated: partitions with replicas that are behind or away.
    """

    spec: TopicSpec
    leaderless: tuple[int, ...] = ()
    under_replicated: tuple[int, ...] = ()


class TopicAdmin:
    """Asks and changes a cluster's topics. Every call blocks, at most about `timeout` seconds."""

    def __init__(
        self,
        bootstrap_servers: str,
        properties: Properties | None = None,
        *,
        timeout: float = UNREACHABLE_AFTER_S,
    ) -> None:
        """Connect.

        Args:
            bootstrap_servers: `host:port` of some brokers, separated by commas.
            properties: the user's own client properties.
            timeout: seconds for one call.

        Raises:
            BrokersUnreachable: no broker answered in time.
            ClusterError: the client refuses the properties.
        """
        self._servers = bootstrap_servers
        self._properties = properties
        self._config = admin_config(bootstrap_servers, properties)
        self._timeout = timeout
        require_brokers(bootstrap_servers, properties, timeout=timeout)
        with mapped(f"connecting to {bootstrap_servers}"):
            self._client = AdminClient(self._config)

    def topics(self, names: Collection[str] | None = None) -> Mapping[str, TopicState]:
        """Return those of the named topics that exist; all but Kafka's own unless given.

        Raises:
            BrokersUnreachable: the brokers do not answer any more.
            ClusterError: this user may not see the topics' settings.
        """
        with mapped(f"listing the topics of {self._servers}"):
            found = self._client.list_topics(timeout=self._timeout).topics
        wanted = {name for name in found if not name.startswith("__")} if names is None else set(names)
        there = {name: found[name].partitions for name in found if name in wanted and found[name].partitions}
        configs = self._configs(there)
        return {name: _state(name, partitions, configs.get(name, {})) for name, partitions in there.items()}

    def delete(self, names: Collection[str]) -> None:
        """Delete topics with all that they hold; one that does not exist is as good as deleted.

        Raises:
            BrokersUnreachable: the brokers do not answer.
            ClusterError: they refuse it.
        """
        if not names:
            return
        with mapped(f"deleting topics on {self._servers}"):
            answers = self._client.delete_topics(list(names), request_timeout=self._timeout)
        for name, answer in answers.items():
            error = self._error(answer)
            if error is not None and error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise translate(error, f"deleting topic {name}")

    def create(self, specs: Collection[TopicSpec], *, validate_only: bool = False) -> None:
        """Create topics, and return when every broker knows them; one that exists is left as it is.

        Args:
            specs: the topics.
            validate_only: let the brokers check them, and create nothing.

        Raises:
            TopicRefused: the brokers refuse some; all of these are in the text. The others are created.
            ClusterError: not every broker knew the topics in time.
        """
        if not specs:
            return
        new = [
            NewTopic(spec.name, spec.partitions, spec.replication, config=dict(spec.config)) for spec in specs
        ]
        with mapped(f"creating topics on {self._servers}"):
            answers = self._client.create_topics(
                new,
                request_timeout=self._timeout,
                operation_timeout=self._timeout,
                validate_only=validate_only,
            )
        errors = {spec.name: self._error(answers[spec.name]) for spec in specs}
        if not validate_only:
            self._wait_until_known(
                {spec.name: spec.partitions for spec in specs if errors[spec.name] is None}
            )
        problems = [problem for spec in specs if (problem := _creation_problem(spec, errors[spec.name]))]
        refused = [str(problem) for problem in problems if isinstance(problem, TopicRefused)]
        if refused:
            raise TopicRefused("\n".join(refused))
        if problems:
            raise problems[0]

    def partitions(self, names: Collection[str]) -> dict[str, int]:
        """Return how many partitions those of the named topics have that exist, and this user may see.

        Raises:
            BrokersUnreachable: the brokers do not answer any more.
        """
        with mapped(f"listing the topics of {self._servers}"):
            found = self._client.list_topics(timeout=self._timeout).topics
        return {
            name: len(found[name].partitions) for name in names if name in found and found[name].partitions
        }

    def broker_count(self) -> int:
        """Return how many brokers there are at the moment.

        Raises:
            BrokersUnreachable: the brokers do not answer any more.
        """
        with mapped(f"asking {self._servers} for its brokers"):
            return len(self._client.list_topics(timeout=self._timeout).brokers)

    def grow(self, name: str, partitions: int) -> None:
        """Give a topic more partitions, and return when every broker knows them.

        One that has as many already, since somebody else was quicker, is left as it is.

        Raises:
            ClusterError: the brokers refuse it, or not every one knew the partitions in time.
        """
        with mapped(f"adding partitions to {name} on {self._servers}"):
            answers = self._client.create_partitions(
                [NewPartitions(name, partitions)], request_timeout=self._timeout
            )
        error = self._error(answers[name])
        if error is not None and error.code() != KafkaError.INVALID_PARTITIONS:
            raise translate(KafkaException(error), f"adding partitions to {name} on {self._servers}") from (
                KafkaException(error)
            )
        self._wait_until_known({name: partitions})

    def record_counts(self, names: Iterable[str]) -> Mapping[str, int]:
        """Return how many offsets each topic keeps; transaction markers and compacted records count.

        A topic with a partition that nobody leads is left out: nobody can say.

        Raises:
            BrokersUnreachable: the brokers do not answer any more, or nobody leads a partition.
            ClusterError: the offsets cannot be read.
        """
        states = {name: it for name, it in self.topics(list(names)).items() if not it.leaderless}
        places = [TopicPartition(name, p) for name, it in states.items() for p in range(it.spec.partitions)]
        offsets = OffsetAdmin(self._servers, self._properties, timeout=self._timeout)
        begins, ends = offsets.begins(places), offsets.high_watermarks(places)
        counts = dict.fromkeys(states, 0)
        for place, end in ends.items():
            counts[place.topic] += end - begins[place]
        return counts

    def empty(self, names: Collection[str]) -> None:
        """Delete all records of topics; those that do not exist or hold none are left as they are.

        Raises:
            BrokersUnreachable: the brokers do not answer any more.
            ClusterError: this user may not, or a topic is compacted.
        """
        places = [
            TopicPartition(name, number)
            for name, it in self.topics(names).items()
            for number in range(it.spec.partitions)
        ]
        offsets = OffsetAdmin(self._servers, self._properties, timeout=self._timeout)
        begins, ends = offsets.begins(places), offsets.high_watermarks(places)
        filled = [ClientPartition(*it, ends[it]) for it in places if begins[it] < ends[it]]
        if not filled:
            return
        with mapped(f"emptying {', '.join(names)}"):
            answers = self._client.delete_records(filled, request_timeout=self._timeout)
        for place, answer in answers.items():
            error = self._error(answer)
            if error is not None:
                raise translate(error, f"emptying {place.topic}[{place.partition}]")

    def _configs(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        if not resources:
            return {}
        with mapped(f"reading topic settings on {self._servers}"):
            answers = self._client.describe_configs(resources, request_timeout=self._timeout)
        return {resource.name: self._config_of(resource.name, future) for resource, future in answers.items()}

    def _config_of(self, name: str, answer: Future[Any]) -> dict[str, str]:
        error = self._error(answer)
        if error is None:
            return {entry.name: entry.value for entry in answer.result().values() if entry.value is not None}
        if error.code() in _FORBIDDEN:
            raise ClusterError(
                f"this user may not read the settings of the topic {name}; grant it DESCRIBE_CONFIGS."
            )
        raise translate(error, f"reading the settings of the topic {name}")

    def _error(self, answer: Future[Any]) -> KafkaError | None:
        """Wait for an answer and return its error."""
        try:
            answer.result(self._timeout + 1.0)
        except KafkaException as error:
            return kafka_error(error)
        except FutureTimeout:
            return KafkaError(KafkaError._TIMED_OUT)
        return None

    def _wait_until_known(self, topics: Mapping[str, int]) -> None:
        """Ask each broker itself: the one that a client meets first must know the topics too."""
        if not topics:
            return
        deadline = time.monotonic() + _KNOWN_S
        with mapped(f"asking {self._servers} for its brokers"):
            brokers = self._client.list_topics(timeout=self._timeout).brokers
        for number, broker in brokers.items():
            while not self._knows(number, f"{broker.host}:{broker.port}", topics):
                if time.monotonic() > deadline:
                    names = ", ".join(topics)
                    raise ClusterError(
                        f"the topics {names} were created, but broker {number} did not know leaders of all "
                        f"their partitions within {_KNOWN_S:.0f} s. Check that broker's log, and try again."
                    )
                time.sleep(_POLL_S)

    def _knows(self, number: int, address: str, topics: Mapping[str, int]) -> bool:
        client = AdminClient({**self._config, "bootstrap.servers": address})
        try:
            answer = client.list_topics(timeout=1.0)
        except KafkaException:
            # It went away in the meantime. Kafka lets it serve clients again only when it has caught up.
            with mapped(f"asking {self._servers} for its brokers"):
                return number not in self._client.list_topics(timeout=self._timeout).brokers
        if answer.orig_broker_id not in (number, -1):
            return False
        for name, count in topics.items():
            partitions = answer.topics[name].partitions if name in answer.topics else {}
            if len(partitions) < count or any(partition.leader < 0 for partition in partitions.values()):
                return False
        return True


def _state(name: str, partitions: Mapping[int, Any], config: Mapping[str, str]) -> TopicState:
    replication = min(len(partition.replicas) for partition in partitions.values())
    return TopicState(
        TopicSpec(name, len(partitions), replication, config, origin="the cluster"),
        tuple(number for number, partition in partitions.items() if partition.leader < 0),
        tuple(number for number, it in partitions.items() if len(it.isrs) < len(it.replicas)),
    )


def _creation_problem(spec: TopicSpec, error: KafkaError | None) -> HoldfastError | None:
    if error is None or error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
        return None
    what = f"the topic {spec.name} ({spec.origin})"
    if error.code() in _FORBIDDEN:
        return TopicRefused(f"the brokers refuse {what}: this user may not create it; grant it CREATE.")
    if error.code() in _REFUSED:
        reason = " ".join(error.str().split()).rstrip(".")
        policy = " (a policy of the cluster)" if error.code() == KafkaError.POLICY_VIOLATION else ""
        return TopicRefused(f"the brokers refuse {what}{policy}: {reason}. Change its declaration.")
    return translate(error, f"creating {what}")
