"""What the simulation takes for granted about Kafka, as statements that hold on real brokers too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from tests.conformance.worlds import RealWorld, SimulatedWorld, World

Body = Callable[[World], None]


# Not in every run: these members are closed in states in which librdkafka was seen to wait for ever, in
# `incremental_unassign` inside the rebalance that closing begins.
@pytest.fixture(params=["simulated", pytest.param("real", marks=[pytest.mark.integration, pytest.mark.slow])])
def world(request: pytest.FixtureRequest, unique_name: Callable[[str], str]) -> World:
    """Give simulated brokers, then real ones."""
    name = unique_name("conformance").replace("[", "-").replace("]", "")
    if request.param == "simulated":
        return SimulatedWorld(name)
    return RealWorld(name, request.getfixturevalue("cluster").bootstrap_servers)


def code_of(call: Callable[..., Any], *arguments: Any) -> KafkaError:
    """The error that a call raises."""
    with pytest.raises(KafkaException) as raised:
        call(*arguments)
    error: KafkaError = raised.value.args[0]
    return error


def write(producer: Any, topic: str, *values: bytes, partition: int = 0) -> None:
    """Write records and wait until the brokers have them."""
    for value in values:
        producer.produce(topic, value, b"key", partition)
    assert producer.flush(20) == 0


def read(world: World, consumer: Any, topic: str, start: int = 0) -> tuple[list[bytes], int]:
    """All that readers of committed records see, and the position where they are told of the end."""
    consumer.incremental_assign([world.place(topic, 0, start)])
    found: list[bytes] = []
    end: list[int] = []

    def reached() -> bool:
        for message in consumer.consume(100, 0.2):
            if message.error() is None:
                found.append(message.value())
            elif message.error().code() == KafkaError._PARTITION_EOF:
                end.append(message.offset())
        return bool(end)

    world.until(reached)
    consumer.incremental_unassign([world.place(topic)])
    return found, end[-1]


class Member:
    """A member of the test's group that notes what it hears."""

    def __init__(self, world: World, topic: str, instance: str, *, polls: bool = True) -> None:
        self.world = world
        self.owned: set[int] = set()
        self.heard: list[str] = []
        self.errors: list[KafkaError] = []
        self.polls = polls
        self.client = world.consumer(instance, error_cb=self.errors.append)
        self.client.subscribe(
            [topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    def _assigned(self, client: Any, partitions: list[Any]) -> None:
        client.incremental_assign([])
        self.owned |= {p.partition for p in partitions}
        self.heard.append("assigned")

    def _revoked(self, client: Any, partitions: list[Any]) -> None:
        self.owned -= {p.partition for p in partitions}
        self.heard.append("revoked")
        client.incremental_unassign([])

    def poll(self) -> None:
        """Let rebalances happen."""
        for message in self.client.consume(1, 0.05):
            if message.error() is not None:
                self.errors.append(message.error())


def settle(world: World, *members: Member, shares: tuple[int, ...]) -> None:
    """Poll all members until each has its share."""

    def done() -> bool:
        for member in members:
            member.poll()
        return tuple(len(m.owned) for m in members) == shares

    world.until(done)


def test_readers_stop_where_a_transaction_is_open(world: World) -> None:
    """The last stable offset; the high watermark is beyond it."""

    def body() -> None:
        topic, producer = world.topic(), world.producer()
        producer.begin_transaction()
        write(producer, topic, b"a")
        producer.commit_transaction(20)
        producer.begin_transaction()
        write(producer, topic, b"b", b"c")
        committed = world.consumer()
        world.until(lambda: read(world, committed, topic) == ([b"a"], 2))
        assert committed.get_watermark_offsets(world.place(topic), timeout=10, cached=False) == (0, 2)
        everything = world.consumer(**{"isolation.level": "read_uncommitted"})
        assert everything.get_watermark_offsets(world.place(topic), timeout=10, cached=False) == (0, 4)
        producer.abort_transaction(20)

    world.run(body)


def test_control_records_take_an_offset_and_are_never_handed_out(world: World) -> None:
    """A partition ends after its last marker, also when all before it was aborted."""

    def body() -> None:
        topic, producer = world.topic(), world.producer()
        for values, commits in (((b"a", b"b"), True), ((b"c",), False), ((b"d",), True), ((b"e",), False)):
            producer.begin_transaction()
            write(producer, topic, *values)
            (producer.commit_transaction if commits else producer.abort_transaction)(20)
        consumer = world.consumer()
        ends = lambda: consumer.get_watermark_offsets(world.place(topic), timeout=10, cached=False)  # noqa: E731
        world.until(lambda: ends() == (0, 9))
        assert read(world, consumer, topic) == ([b"a", b"b", b"d"], 9)
        assert read(world, consumer, topic, start=8) == ([], 9)

    world.run(body)


def test_a_producer_with_the_same_id_fences_the_first_and_ends_its_transaction(world: World) -> None:
    """At once: nobody waits for a timeout. What the first one wrote is never seen."""

    def body() -> None:
        topic, first = world.topic(), world.producer()
        first.begin_transaction()
        write(first, topic, b"zombie")
        second = world.producer()
        consumer = world.consumer()
        world.until(lambda: read(world, consumer, topic) == ([], 2))
        error = code_of(first.commit_transaction, 20)
        assert error.fatal()
        assert error.code() == KafkaError._FENCED
        second.begin_transaction()
        write(second, topic, b"heir")
        second.commit_transaction(20)
        world.until(lambda: read(world, consumer, topic) == ([b"heir"], 4))

    world.run(body)


def test_positions_are_committed_with_the_transaction(world: World) -> None:
    """Pending before that: who asks for stable ones is not answered."""

    def body() -> None:
        topic, producer = world.topic(), world.producer()
        member = Member(world, topic, "a")
        settle(world, member, shares=(1,))
        producer.begin_transaction()
        write(producer, topic, b"a")
        position = world.place(topic, 0, 7)
        producer.send_offsets_to_transaction([position], member.client.consumer_group_metadata(), 20)
        error = code_of(lambda: member.client.committed([world.place(topic)], timeout=1.5))
        assert error.code() == KafkaError._TIMED_OUT
        producer.commit_transaction(20)
        assert [p.offset for p in member.client.committed([world.place(topic)], timeout=20)] == [7]

    world.run(body)


def test_positions_of_an_aborted_transaction_never_were(world: World) -> None:
    """The group stands where it stood."""

    def body() -> None:
        topic, producer = world.topic(), world.producer()
        member = Member(world, topic, "a")
        settle(world, member, shares=(1,))
        for offset, commits in ((3, True), (9, False)):
            producer.begin_transaction()
            write(producer, topic, b"a")
            metadata = member.client.consumer_group_metadata()
            producer.send_offsets_to_transaction([world.place(topic, 0, offset)], metadata, 20)
            (producer.commit_transaction if commits else producer.abort_transaction)(20)
        assert [p.offset for p in member.client.committed([world.place(topic)], timeout=20)] == [3]

    world.run(body)


def test_positions_of_an_old_generation_are_refused(world: World) -> None:
    """KIP-447: a standing from before a rebalance commits nothing; the transaction can be aborted."""

    def body() -> None:
        topic, producer = world.topic(2), world.producer()
        first = Member(world, topic, "a")
        settle(world, first, shares=(2,))
        old = first.client.consumer_group_metadata()
        second = Member(world, topic, "b")
        settle(world, first, second, shares=(1, 1))
        producer.begin_transaction()
        write(producer, topic, b"zombie")
        error = code_of(producer.send_offsets_to_transaction, [world.place(topic, 0, 5)], old, 20)
        assert error.code() == KafkaError.ILLEGAL_GENERATION
        assert error.txn_requires_abort()
        producer.abort_transaction(20)
        producer.begin_transaction()
        write(producer, topic, b"good")
        now = first.client.consumer_group_metadata()
        producer.send_offsets_to_transaction([world.place(topic, 0, 5)], now, 20)
        producer.commit_transaction(20)
        reader = world.consumer()
        world.until(lambda: read(world, reader, topic)[0] == [b"good"])

    world.run(body)


def test_a_static_member_takes_its_place_over_without_a_rebalance(world: World) -> None:
    """The others hear nothing; whoever held the place before is fenced."""

    def body() -> None:
        topic = world.topic(4)
        first, second = Member(world, topic, "a"), Member(world, topic, "b")
        settle(world, first, second, shares=(2, 2))
        owned, heard = set(first.owned), len(second.heard)
        heir = Member(world, topic, "a")
        settle(world, heir, second, shares=(2, 2))
        assert heir.owned == owned
        assert len(second.heard) == heard

        def fenced() -> bool:
            first.poll()
            return any(e.code() in (KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL) for e in first.errors)

        world.until(fenced)

    world.run(body)


def test_shards_of_a_silent_member_go_to_the_others_after_its_session(world: World) -> None:
    """A static member that leaves says nothing; its shards wait for its session to end."""

    def body() -> None:
        topic = world.topic(4)
        first, second = Member(world, topic, "a"), Member(world, topic, "b")
        settle(world, first, second, shares=(2, 2))
        left_at = world.now()
        world.open.remove(first.client)
        first.client.close()
        settle(world, second, shares=(4,))
        assert world.now() - left_at > 4.0

    world.run(body)


def test_what_a_static_member_was_to_give_away_belongs_to_nobody_after_its_restart(world: World) -> None:
    """It comes back without a rebalance, and without what was taken from it: a hole of the classic protocol.

    The member that asked for its share waits; only the next rebalance closes the hole.
    """

    def body() -> None:
        topic = world.topic(4)
        first = Member(world, topic, "a")
        settle(world, first, shares=(4,))
        second = Member(world, topic, "b")
        # The first one's client joins in the background and learns what it has to give away. Its
        # application does not poll, and is restarted before it does.
        end = world.now() + 4.0
        while world.now() < end:
            second.poll()
        world.open.remove(first.client)
        first.client.close()
        heir = Member(world, topic, "a")
        end = world.now() + 10.0
        while world.now() < end:
            heir.poll()
            second.poll()
        assert (len(heir.owned), len(second.owned)) == (2, 0)
        third = Member(world, topic, "c")
        world.until(lambda: [m.poll() for m in (heir, second, third)] and _all_owned(heir, second, third))

    world.run(body)


def _all_owned(*members: Member) -> bool:
    return set().union(*(m.owned for m in members)) == set(range(4))
