"""What is read for a worker's shards: where reading begins, stops, and goes back to.

Reading never begins inside a fetch. A fetch is also where rebalances happen, and it drops what it brought of
partitions that were stopped meanwhile: were reading started there, fresh records could be dropped with the
stale ones, and be lost. So a shard that goes back stops at once, and begins again with the next fetch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from holdfast.kafka.consumer import Batch, ShardConsumer
from holdfast.record import TopicPartition


class ShardInputs:
    """The inputs of a worker's shards, on the consumer that reads them.

    Args:
        consumer: the group's consumer.
        topics: the processor's inputs.
    """

    def __init__(self, consumer: ShardConsumer, topics: Iterable[str]) -> None:
        self._consumer = consumer
        self._topics = tuple(topics)
        self._going_back: dict[TopicPartition, int] = {}
        self._held: dict[TopicPartition, int] = {}
        self._suspended: dict[TopicPartition, int] = {}
        self._is_suspended = False
        self._only: Collection[int] | None = None

    @property
    def held(self) -> tuple[TopicPartition, ...]:
        """What is held, to be read on later."""
        return tuple(self._held)

    def fetch(self, most: int, wait: float) -> Batch:
        """Begin what went back, then return what is there; see `ShardConsumer.fetch`.

        Args:
            most: the most records.
            wait: seconds to wait for a first one.

        Raises:
            Fenced: another process took this worker's group instance id.
            ClusterError: the group or a partition can no longer be read.
        """
        if self._going_back and not self._is_suspended:
            self._begin_again()
        return self._consumer.fetch(most, wait)

    def _begin_again(self) -> None:
        begins = {p: at for p, at in self._going_back.items() if self._may_read(p.partition)}
        self._going_back = {p: at for p, at in self._going_back.items() if p not in begins}
        if begins:
            self._consumer.start(begins)

    def _may_read(self, partition: int) -> bool:
        return self._only is None or partition in self._only

    def confine(self, partitions: Collection[int] | None) -> None:
        """Of the shards that go back, or are new, begin to read only some; the others when they may.

        Args:
            partitions: these; None for all.
        """
        self._only = partitions

    def start(self, partition: int, positions: Mapping[str, int]) -> None:
        """Begin to read a shard's inputs, now or when they may be read. Not to be called inside a fetch.

        Raises:
            ClusterError: the client refuses.
        """
        if self._is_suspended or not self._may_read(partition):
            self._going_back.update(_places(partition, positions))
        else:
            self._consumer.start(_places(partition, positions))

    def go_back(self, partition: int, positions: Mapping[str, int]) -> None:
        """Stop reading a shard's inputs, and begin again at these positions with the next fetch.

        Raises:
            ClusterError: the client refuses.
        """
        back = _places(partition, positions)
        for place in back:
            self._held.pop(place, None)
            self._suspended.pop(place, None)
        self._consumer.stop(back)
        self._going_back.update(back)

    def suspend(self, positions: Mapping[int, Mapping[str, int]]) -> None:
        """Hand out nothing until `resume`, but hear of the group. Not to be called inside a fetch.

        Args:
            positions: for each shard that reads, where it goes on.

        Raises:
            ClusterError: the client refuses.
        """
        if self._is_suspended:
            return
        self._is_suspended = True
        for partition, each in positions.items():
            for place, offset in _places(partition, each).items():
                # What goes back, or is held, is not read anyway.
                if place not in self._going_back and place not in self._held:
                    self._suspended[place] = offset
        if self._suspended:
            # Paused, not stopped: something may be uncommitted; see `ShardConsumer.pause`.
            self._consumer.pause(list(self._suspended))

    def resume(self) -> None:
        """Read on.

        Raises:
            ClusterError: the client refuses.
        """
        self._is_suspended = False
        while self._suspended:
            self._consumer.resume(*self._suspended.popitem())

    def read_again(self, place: TopicPartition, offset: int) -> None:
        """Read one input again from `offset`, of which records have just been fetched.

        Raises:
            ClusterError: the client refuses.
        """
        self._consumer.seek(place, offset)

    def hold(self, place: TopicPartition, offset: int) -> None:
        """Hand out no more of one input; what was fetched of it from `offset` on is read again by `go_on`.

        Raises:
            ClusterError: the client refuses.
        """
        self._held[place] = offset
        self._consumer.pause([place])

    def go_on(self, place: TopicPartition) -> None:
        """Read one input on that was held.

        Raises:
            ClusterError: the client refuses.
        """
        offset = self._held.pop(place)
        if self._is_suspended:
            self._suspended[place] = offset
        else:
            self._consumer.resume(place, offset)

    def pause(self, partition: int) -> None:
        """Hand out no more of a shard that stays ours; see `ShardConsumer.pause` for why it is not stopped.

        Raises:
            ClusterError: the client refuses.
        """
        self._consumer.pause(self._forget(partition))

    def stop(self, partition: int) -> None:
        """Read a shard's inputs no longer.

        Raises:
            ClusterError: the client refuses.
        """
        self._consumer.stop(self._forget(partition))

    def _forget(self, partition: int) -> list[TopicPartition]:
        places = [TopicPartition(topic, partition) for topic in self._topics]
        for place in places:
            self._going_back.pop(place, None)
            self._held.pop(place, None)
            self._suspended.pop(place, None)
        return places


def _places(partition: int, positions: Mapping[str, int]) -> dict[TopicPartition, int]:
    return {TopicPartition(topic, partition): offset for topic, offset in positions.items()}
