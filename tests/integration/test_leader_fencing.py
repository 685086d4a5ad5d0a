"""Both fences around a leader's transactions hold alone: the producer's epoch and the group's generation."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import ClusterError
from holdfast.kafka.consumer import ShardConsumer
from holdfast.kafka.reader import PartitionReader, reader_settings
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.settings import consumer_config
from holdfast.kafka.transaction import TransactionalWriter
from holdfast.kafka.unit_writer import Ending, Outcome
from holdfast.record import Output, TopicPartition
from holdfast.runtime.leader_assembly import LeaderClients
from tests.conftest import TestCluster
from tests.support.leaders import LeaderApplication

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


@pytest.fixture
def app(cluster: TestCluster, tmp_path: Path, unique_name: Callable[[str], str]) -> LeaderApplication:
    """Give an application that nobody runs."""
    tasks = {"tick": {"every": "1h"}}
    return LeaderApplication(tmp_path, cluster.bootstrap_servers, unique_name("app"), tasks)


@pytest.fixture
def member(app: LeaderApplication) -> Iterator[Callable[[str], Member]]:
    """Make members of the candidates' group, by their slots. Those that did not go are closed in the end."""
    with contextlib.ExitStack() as stack:

        def make(slot: str) -> Member:
            made = Member(app, slot)
            stack.callback(made.close)
            return made

        yield make


class Member:
    """A member of the candidates' group, and the writer of a leader."""

    def __init__(self, app: LeaderApplication, slot: str) -> None:
        self.clients = LeaderClients(app.topology, slot, app.servers)
        self.place = TopicPartition(app.topology.leader_id, 0)
        self.topic = app.topic
        self.owned: list[int] = []
        self.consumer: ShardConsumer = self.clients.consumer(self)
        self._closed = False

    def assigned(self, partitions: list[int]) -> None:
        """It is the owner."""
        self.owned += partitions

    def revoked(self, partitions: list[int]) -> None:
        """It is the owner no longer."""

    lost = revoked

    def standing(self) -> Any:
        """Wait until it owns the partition; return what it would fence with."""
        deadline = time.monotonic() + 30
        while not self.owned:
            assert time.monotonic() < deadline, "not assigned"
            self.consumer.fetch(1, 0.1)
        return self.consumer.group_metadata()

    def go(self) -> None:
        """Leave the group."""
        self.consumer.hand_over(5)
        self.close()

    def close(self) -> None:
        """Let go of the client, if that was not done."""
        if not self._closed:
            self._closed = True
            self.consumer.close()

    def begin(self, writer: TransactionalWriter, text: str) -> None:
        """Open a transaction with one record in it."""
        writer.begin()
        writer.send([Output(self.topic, text.encode(), b"k", 0, [])])

    def write(self, writer: TransactionalWriter, text: str, standing: Any) -> Ending:
        """Write one record in a transaction."""
        self.begin(writer, text)
        return writer.finish({self.place: 0}, standing)


def written(app: LeaderApplication) -> list[bytes | None]:
    """The committed records in the application's topic, after whatever is open has ended."""
    return [record.value() for record in LogScanner(app.servers).topic(app.topic)]


def written_at_all(app: LeaderApplication) -> list[bytes | None]:
    """All records in the application's topic, those of open and aborted transactions too."""
    settings = reader_settings(consumer_config(app.servers, "test"))
    reader = PartitionReader({**settings, "isolation.level": "read_uncommitted"})
    left = {TopicPartition(app.topic, number): 0 for number in range(2)}
    found: list[bytes | None] = []
    reader.start(left)
    while left:
        records, ends = reader.read(100, 0.2)
        found += [record.value() for record in records]
        left = {place: 0 for place in left if place not in ends}
    reader.close()
    return found


def test_a_new_leader_ends_the_open_transaction_of_the_one_before(
    app: LeaderApplication, member: Callable[[str], Member]
) -> None:
    """Frozen after it had sent: the record is in the log, and never becomes visible."""
    leader = member("a")
    standing = leader.standing()
    old = leader.clients.writer()
    leader.begin(old, "old")
    old._client.flush(10)
    assert written_at_all(app) == [b"old"]
    new = leader.clients.writer()
    assert leader.write(new, "new", standing).outcome is Outcome.COMMITTED
    # The group would still let it pass: only the epoch is against it.
    assert old.finish({leader.place: 0}, standing).outcome is Outcome.FENCED
    assert written(app) == [b"new"]
    for one in (old, new):
        one.close()


def test_a_member_that_the_group_has_moved_past_is_refused(
    app: LeaderApplication, member: Callable[[str], Member]
) -> None:
    """Also when it was the last to take the transactional id: a candidate that was frozen in its election."""
    first = member("a")
    old = first.standing()
    first.go()
    second = member("b")
    new = second.standing()
    writer = first.clients.writer()
    assert first.write(writer, "old", old).outcome is not Outcome.COMMITTED
    writer.close()
    writer = second.clients.writer()
    assert second.write(writer, "new", new).outcome is Outcome.COMMITTED
    assert written(app) == [b"new"]
    writer.close()


def test_a_candidate_that_leaves_is_gone_at_once(member: Callable[[str], Member]) -> None:
    """It is a static member, and would be expected back until its session ends."""
    first = member("a")
    first.standing()
    # Not before: the group may give it the partition, which it does not take before it is asked.
    second = member("b")
    began = time.monotonic()
    first.go()
    second.standing()
    assert time.monotonic() - began < 5


def test_a_leader_that_lost_a_connection_does_not_take_the_id_from_the_one_after(
    app: LeaderApplication, member: Callable[[str], Member]
) -> None:
    """A worker would replace its client and go on. This one was cut off: another leader may work by now."""
    leader = member("a")
    standing = leader.standing()
    old = leader.clients.writer()
    assert leader.write(old, "old", standing).outcome is Outcome.COMMITTED
    new = leader.clients.writer()
    leader.begin(new, "new")
    old._lost.reason = "broker 1 was disconnected"
    with pytest.raises(ClusterError, match="a connection was lost: broker 1 was disconnected"):
        leader.begin(old, "late")
    assert new.finish({leader.place: 0}, standing).outcome is Outcome.COMMITTED
    assert written(app) == [b"old", b"new"]
    for one in (old, new):
        one.close()
