"""The consumer of a worker: nothing is handed out that belongs to an ended ownership."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from holdfast.errors import Fenced
from holdfast.kafka.consumer import Batch, ShardConsumer
from holdfast.record import TopicPartition
from holdfast.runtime.assembly import WorkerIdentity, consumer_settings
from tests.support.application import Application
from tests.support.events import Added
from tests.unit.runtime.kit import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]
Make = Callable[..., Application]


class Listener:
    """Notes what the group gives and takes; `during` runs inside every call."""

    def __init__(self) -> None:
        self.owned: set[int] = set()
        self.during: Callable[[], None] = lambda: None

    def assigned(self, partitions: list[int]) -> None:
        """Ours."""
        self.owned.update(partitions)
        self.during()

    def revoked(self, partitions: list[int]) -> None:
        """Ours no longer."""
        self.owned.difference_update(partitions)
        self.during()

    def lost(self, partitions: list[int]) -> None:
        """The same."""
        self.revoked(partitions)


@pytest.fixture
def app(application: Make) -> Application:
    """2,000 records in four partitions."""
    app = application()
    app.publish(*(Added(key=f"k{i}", n=i) for i in range(2000)))
    return app


def join(app: Application, slot: str, listener: Listener) -> ShardConsumer:
    """Become a member of the processor's group."""
    identity = WorkerIdentity(slot, Path("unused"), app.servers)
    settings = consumer_settings(app.topology.native["counter"], identity, {})
    return ShardConsumer(settings, app.names.topic("adds"), listener)


def places(app: Application, *partitions: int) -> dict[TopicPartition, int]:
    """The start of partitions."""
    return {TopicPartition(app.names.topic("adds"), p): 0 for p in partitions}


def offsets(batches: list[Batch], partition: int) -> list[int]:
    """Offsets handed out of a partition."""
    return [m.offset() for b in batches for (_, p), run in b.records.items() if p == partition for m in run]


@pytest.fixture
def member(app: Application) -> Iterator[tuple[ShardConsumer, Listener]]:
    """A member that owns all four shards and reads none."""
    listener = Listener()
    with closing(join(app, "a", listener)) as consumer:
        wait_until(lambda: consumer.fetch(10, 0.1).records or len(listener.owned) == 4, 30)
        yield consumer, listener


def test_what_a_listener_raises_is_the_reason(member: tuple[ShardConsumer, Listener]) -> None:
    """The client would answer the rebalance by itself, fail at shards that are not read, and raise that."""
    consumer, listener = member

    def give_up() -> None:
        raise Fenced("we have a rival")

    listener.during = give_up
    with pytest.raises(Fenced, match="we have a rival"):
        consumer.hand_over(10.0)


def test_nothing_is_read_before_it_is_started(
    app: Application, member: tuple[ShardConsumer, Listener]
) -> None:
    """Ownership alone hands out nothing: the state may not be restored yet."""
    consumer, _ = member
    assert not any(consumer.fetch(100, 0.3).records for _ in range(3))
    consumer.start(places(app, 2))
    batches: list[Batch] = []
    wait_until(lambda: batches.append(consumer.fetch(100, 0.1)) or offsets(batches, 2), 10)
    assert {p for b in batches for _, p in b.records} == {2}


def test_records_of_a_shard_stopped_inside_a_fetch_are_dropped(
    app: Application, member: tuple[ShardConsumer, Listener]
) -> None:
    """The group's rebalance happens inside a fetch that may hold records of a shard it takes away."""
    consumer, listener = member
    stopped: list[bool] = []

    def stop_all() -> None:
        consumer.stop(places(app, 0, 1, 2, 3))
        stopped.append(True)

    consumer.start(places(app, 0, 1, 2, 3))
    listener.during = stop_all
    other = Listener()
    with closing(join(app, "b", other)) as rival:
        last = Batch()

        def rebalanced() -> bool:
            nonlocal last
            rival.fetch(10, 0.02)
            last = consumer.fetch(3, 0.05)
            return bool(stopped)

        wait_until(rebalanced, 30)
        # The fetch during which the shards were stopped, and every later one, hands out nothing.
        assert not last.records
        assert not last.ends
        listener.during = lambda: None
        for _ in range(10):
            assert not consumer.fetch(100, 0.02).records


def test_stopping_and_starting_hands_out_every_record_once_from_the_given_offset(
    app: Application, member: tuple[ShardConsumer, Listener]
) -> None:
    """What was fetched ahead is thrown away; a rewind neither skips nor repeats."""
    consumer, _ = member
    [(place, _)] = places(app, 1).items()
    for round_ in range(8):
        start = round_ * 7
        consumer.start({place: start})
        batches: list[Batch] = []
        wait_until(lambda b=batches: b.append(consumer.fetch(20, 0.1)) or len(offsets(b, 1)) >= 20, 10)
        found = offsets(batches, 1)
        assert found == list(range(start, start + len(found)))
        consumer.stop([place])


def test_a_paused_shard_hands_out_nothing_until_it_is_started_again(
    app: Application, member: tuple[ShardConsumer, Listener]
) -> None:
    """Also not what was fetched ahead of the pause."""
    consumer, _ = member
    consumer.start(places(app, 0, 1))
    batches: list[Batch] = []
    wait_until(lambda: batches.append(consumer.fetch(5, 0.1)) or offsets(batches, 0), 10)
    consumer.pause(places(app, 0))
    after: list[Batch] = []
    wait_until(lambda: after.append(consumer.fetch(500, 0.1)) or len(offsets(batches + after, 1)) > 400, 10)
    assert offsets(after, 0) == []
    consumer.stop(places(app, 0))
    consumer.start(places(app, 0))
    again: list[Batch] = []
    wait_until(lambda: again.append(consumer.fetch(500, 0.1)) or len(offsets(again, 0)) > 100, 10)
    assert offsets(again, 0)[0] == 0


def test_a_paused_shard_goes_on_at_the_offset_that_it_is_told(
    app: Application, member: tuple[ShardConsumer, Listener]
) -> None:
    """Records that were handed out before the pause come again from there, each once."""
    consumer, _ = member
    [place] = places(app, 0)
    consumer.start(places(app, 0, 1))
    batches: list[Batch] = []
    wait_until(lambda: batches.append(consumer.fetch(50, 0.1)) or len(offsets(batches, 0)) > 20, 10)
    consumer.pause([place])
    wait_until(lambda: batches.append(consumer.fetch(500, 0.1)) or len(offsets(batches, 1)) > 400, 10)
    consumer.resume(place, 7)
    after: list[Batch] = []
    wait_until(lambda: after.append(consumer.fetch(500, 0.1)) or len(offsets(after, 0)) > 400, 10)
    assert offsets(after, 0) == list(range(7, 7 + len(offsets(after, 0))))
    assert offsets(batches + after, 1) == list(range(len(offsets(batches + after, 1))))


def test_the_older_of_two_members_with_one_slot_is_fenced(
    app: Application, member: tuple[ShardConsumer, Listener]
) -> None:
    """By the group's static membership."""
    consumer, _ = member
    newer = Listener()
    with closing(join(app, "a", newer)) as rival:
        wait_until(lambda: rival.fetch(10, 0.1).records or newer.owned, 20)
        with pytest.raises(Fenced, match="another member in this worker's slot"):
            wait_until(lambda: bool(consumer.fetch(10, 0.1).records), 20)
