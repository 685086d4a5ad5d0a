"""What the simulated Kafka clients share: the process that they live in, and errors in the client's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from holdfast.kafka.client import IsolationLevel, KafkaError, KafkaException, OffsetSpec
from holdfast.record import TopicPartition
from holdfast.testing.simulation.brokers import OFFSETS_TOPIC, Brokers, internal
from holdfast.testing.simulation.groups import Group, Groups
from holdfast.testing.simulation.kernel import Kernel, Process
from holdfast.testing.simulation.log import Refused
from holdfast.testing.simulation.transactions import Transactions


@dataclass(frozen=True, slots=True)
class SimCluster:
    """The simulated cluster, as its clients see it."""

    brokers: Brokers
    groups: Groups
    transactions: Transactions

    @classmethod
    def on(cls, kernel: Kernel) -> SimCluster:
        """A new cluster, in a kernel's time."""
        brokers = Brokers(kernel)
        groups = Groups(brokers)
        transactions = Transactions(brokers, groups)
        groups.verify = transactions.verify_group
        return cls(brokers, groups, transactions)


def client_error(name: str, text: str = "", **flags: bool) -> Any:
    """The client's error with a code's name."""
    return KafkaError(getattr(KafkaError, name), text or f"simulated: {name}", **flags)


def raised(name: str, text: str = "", **flags: bool) -> KafkaException:
    """The client's exception with a code's name."""
    return KafkaException(client_error(name, text, **flags))


class Client:
    """A client in a process.

    Args:
        cluster: whom it talks to.
        process: where it lives.
        settings: librdkafka properties.
    """

    def __init__(self, cluster: SimCluster, process: Process, settings: Mapping[str, Any]) -> None:
        self.cluster = cluster
        self.brokers = cluster.brokers
        self.kernel = cluster.brokers.kernel
        self.process = process
        self.settings = settings

    def ask(self, place: TopicPartition, do: Callable[[], Any], timeout: float) -> Any:
        """Ask a partition's leader in this thread.

        Raises:
            KafkaException: no answer in time, or a refusal.
        """
        try:
            return self.brokers.call(self.process, place, do, self.kernel.now + timeout)
        except Refused as refused:
            retriable = refused.code == "_TIMED_OUT"
            raise raised(refused.code, retriable=retriable) from refused


class SimAdmin(Client):
    """An `AdminClient`, as far as workers and replays use one."""

    def poll(self, timeout: float) -> int:
        """Nothing is reported by it."""
        self.kernel.step("poll an admin client")
        self.kernel.wait(timeout)
        return 0

    def describe_topics(self, topics: Any, request_timeout: float) -> dict[str, Future[Any]]:
        """Ids and numbers of partitions."""
        self.kernel.step("describe topics")
        answers: dict[str, Future[Any]] = {}
        for name in topics.topic_names:
            answer: Future[Any] = Future()
            answers[name] = answer
            count = self.brokers.partitions(name)
            if not count:
                answer.set_exception(raised("UNKNOWN_TOPIC_OR_PART"))
                continue
            try:
                self.ask(TopicPartition(name, 0), lambda: None, request_timeout)
            except KafkaException as error:
                answer.set_exception(error)
            else:
                answer.set_result(Described(self.brokers.topic_ids[name], tuple(range(count))))
        return answers

    def describe_consumer_groups(
        self, group_ids: Sequence[str], request_timeout: float
    ) -> dict[str, Future[Any]]:
        """Who is in groups; the answers come later."""

        def describe(name: str) -> Callable[[], Any]:
            return lambda: described_group(self.cluster.groups.group(name))

        return {
            name: self._later(internal(OFFSETS_TOPIC, name), describe(name), request_timeout)
            for name in group_ids
        }

    def list_consumer_groups(self, request_timeout: float) -> Future[Any]:
        """The groups of all coordinators."""
        self.kernel.step("list groups")
        answer: Future[Any] = Future()
        names = self.cluster.groups.by_name
        try:
            self.ask(internal(OFFSETS_TOPIC, ""), lambda: None, request_timeout)
        except KafkaException as error:
            answer.set_exception(error)
        else:
            valid = [SimpleNamespace(group_id=name) for name in names]
            answer.set_result(SimpleNamespace(valid=valid, errors=[]))
        return answer

    def list_offsets(
        self, wanted: Mapping[Any, Any], isolation_level: Any, request_timeout: float
    ) -> dict[Any, Future[Any]]:
        """First offsets, last stable ones or high watermarks; the answers come later."""

        def bound(place: TopicPartition, which: Any) -> Callable[[], Any]:
            log = self.brokers.logs[place]
            if which is OffsetSpec.earliest():  # type: ignore[no-untyped-call] # it has no types
                return lambda: SimpleNamespace(offset=log.start)
            if isolation_level is IsolationLevel.READ_COMMITTED:
                return lambda: SimpleNamespace(offset=log.stable)
            return lambda: SimpleNamespace(offset=log.end)

        answers = {}
        for asked, which in wanted.items():
            place = TopicPartition(asked.topic, asked.partition)
            answers[asked] = self._later(place, bound(place, which), request_timeout)
        return answers

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:  # noqa: ARG002
        """The cluster's metadata, from a broker that can be reached."""
        self.kernel.step("metadata")
        self.kernel.sleep(0.002)
        live = [node for node in self.brokers.nodes if node.up and self.process.name not in node.cut]
        if not live:
            self.kernel.sleep(max(timeout, 0.0))
            raise raised("_TRANSPORT", retriable=True)
        topics: dict[str, Any] = {}
        for place in self.brokers.logs:
            topics.setdefault(place.topic, SimpleNamespace(partitions={})).partitions[place.partition] = None
        return SimpleNamespace(topics=topics, brokers={node.number: node for node in live})

    def _later(self, place: TopicPartition, do: Callable[[], Any], timeout: float) -> Future[Any]:
        """Ask a partition's leader once, without waiting."""
        answer: Future[Any] = Future()

        def answered(found: Any) -> None:
            if answer.done():
                return
            if isinstance(found, Refused):
                answer.set_exception(raised(found.code))
            else:
                answer.set_result(found)

        self.brokers.send(self.process, place, do, answered)
        self.kernel.at(timeout, answered, Refused("_TIMED_OUT"), process=self.process)
        return answer


def described_group(group: Group) -> Any:
    """A group's description, as the client's own."""
    members = [
        SimpleNamespace(
            member_id=member.name,
            client_id=member.request.instance,
            host="/127.0.0.1",
            group_instance_id=member.request.instance,
            assignment=SimpleNamespace(
                topic_partitions=[
                    TopicPartition(member.request.topic, shard) for shard in sorted(member.shards)
                ]
            ),
        )
        for member in group.members.values()
    ]
    state = "PREPARING_REBALANCING" if group.preparing else "STABLE" if members else "EMPTY"
    return SimpleNamespace(members=members, state=SimpleNamespace(name=state))


@dataclass(frozen=True, slots=True)
class Described:
    """A topic's description."""

    topic_id: str
    partitions: tuple[int, ...]
