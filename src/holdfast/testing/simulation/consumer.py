"""A simulated `confluent_kafka.Consumer`: assigned partitions, and a member's place in its group.

Heartbeats and joins happen in the background, as on the client's own threads: a paused process sends none, a
busy one does. Callbacks are called inside `consume`, and records that were fetched before one may come out of
the same call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from holdfast.record import TopicPartition
from holdfast.testing.simulation.brokers import OFFSETS_TOPIC, internal
from holdfast.testing.simulation.client import Client, SimCluster, client_error
from holdfast.testing.simulation.groups import outsider
from holdfast.testing.simulation.kernel import Process, Signal
from holdfast.testing.simulation.membership import Change, Membership

RUN_RECORDS = 40
"""The most records of one partition that one fetch brings."""


class SimError:
    """A message that carries no record: an end, or an error."""

    __slots__ = ("_code", "_offset", "_place")

    def __init__(self, place: TopicPartition, offset: int, code: str) -> None:
        self._place = place
        self._offset = offset
        self._code = code

    def error(self) -> Any:
        """What it says."""
        return client_error(self._code)

    def topic(self) -> str:
        """The topic that it is about."""
        return self._place.topic

    def partition(self) -> int:
        """The partition."""
        return self._place.partition

    def offset(self) -> int:
        """The offset of an end."""
        return self._offset


class SimConsumer(Client):
    """A consumer.

    Args:
        cluster: whom it reads from.
        process: where it lives.
        settings: librdkafka properties.
    """

    def __init__(self, cluster: SimCluster, process: Process, settings: Mapping[str, Any]) -> None:
        super().__init__(cluster, process, settings)
        self._committed_only = settings.get("isolation.level", "read_committed") == "read_committed"
        self._says_ends = bool(settings.get("enable.partition.eof"))
        self._group = str(settings["group.id"])
        self._positions: dict[TopicPartition, int] = {}
        self._told: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._waiting: list[TopicPartition] = []
        self._member: Membership | None = None
        self._callbacks: dict[Change, Callable[[Any, list[Any]], None]] = {}
        self._awake = Signal(self.kernel)
        self._closed = False

    # -- the group

    def subscribe(
        self,
        topics: Sequence[str],
        on_assign: Callable[[Any, list[Any]], None],
        on_revoke: Callable[[Any, list[Any]], None],
        on_lost: Callable[[Any, list[Any]], None],
    ) -> None:
        """Join the group; inside a callback, join it again at its end."""
        (topic,) = topics
        if self._member is not None and self._member.joins_again():
            return
        self._callbacks = {Change.ASSIGN: on_assign, Change.REVOKE: on_revoke, Change.LOST: on_lost}
        self._member = Membership(self.cluster, self.process, self.settings, topic, self._awake)

    def unsubscribe(self) -> None:
        """Give the shards back and leave the group, for good also as a static member."""
        assert self._member is not None
        self._member.leave()

    def consumer_group_metadata(self) -> Any:
        """The present standing in the group; of one who is not in it, that of nobody."""
        return self._member.standing if self._member is not None else outsider(self._group)

    def commit(self, offsets: Sequence[Any], asynchronous: bool = False) -> None:  # noqa: ARG002
        """Commit positions, outside any transaction."""
        self.kernel.step("commit offsets")
        standing = self.consumer_group_metadata()
        found = {TopicPartition(p.topic, p.partition): (p.offset, p.metadata or "") for p in offsets}
        place = internal(OFFSETS_TOPIC, self._group)
        self.ask(place, lambda: self.cluster.groups.commit(standing, found), 10.0)

    def committed(self, partitions: Sequence[Any], timeout: float) -> list[Any]:
        """The group's committed positions: stable ones, unless uncommitted records are read, too."""
        self.kernel.step("committed")
        places = [TopicPartition(p.topic, p.partition) for p in partitions]
        found = self.ask(
            internal(OFFSETS_TOPIC, self._group),
            lambda: self.cluster.groups.fetch(self._group, places, stable=self._committed_only),
            timeout,
        )
        return [Committed(place, *(found[place] or (-1001, ""))) for place in places]

    # -- partitions

    def get_watermark_offsets(
        self,
        partition: Any,
        timeout: float = 0.0,
        cached: bool = False,
    ) -> tuple[int, int]:
        """First offset, and the last stable one or the high watermark, by the isolation."""
        place = TopicPartition(partition.topic, partition.partition)
        log = self.brokers.logs[place]
        if cached:
            return log.start, log.end
        self.kernel.step("bounds")

        def bounds() -> tuple[int, int]:
            return log.start, log.stable if self._committed_only else log.end

        found: tuple[int, int] = self.ask(place, bounds, timeout)
        return found

    def incremental_assign(self, partitions: Sequence[Any]) -> None:
        """Read these too."""
        for p in partitions:
            place = TopicPartition(p.topic, p.partition)
            self._positions[place] = p.offset
            self._told.pop(place, None)
        self._awake.fire()

    def incremental_unassign(self, partitions: Sequence[Any]) -> None:
        """Read these no longer."""
        for p in partitions:
            del self._positions[TopicPartition(p.topic, p.partition)]

    def pause(self, partitions: Sequence[Any]) -> None:
        """Hand out nothing of these."""
        self._paused.update(TopicPartition(p.topic, p.partition) for p in partitions)

    def resume(self, partitions: Sequence[Any]) -> None:
        """Hand out these again."""
        self._paused.difference_update(TopicPartition(p.topic, p.partition) for p in partitions)

    def seek(self, partition: Any) -> None:
        """Read on from there."""
        place = TopicPartition(partition.topic, partition.partition)
        self._positions[place] = partition.offset
        self._told.pop(place, None)

    def consume(self, most: int, timeout: float) -> list[Any]:
        """Records, ends and errors; waits for a first one. Rebalances happen inside."""
        kernel = self.kernel
        kernel.step("consume")
        deadline = kernel.now + timeout
        if most == 1:
            # Nothing takes no time at all: a loop that never waits would stop the clock.
            kernel.sleep(0.0002 + 0.001 * kernel.rng.random())
        while True:
            found = self._look(most)
            left = deadline - kernel.now
            if found or left <= 0:
                return found
            if kernel.wait(left, self.brokers.moved, self._awake):
                kernel.sleep(0.001 + 0.004 * kernel.rng.random())

    def _look(self, most: int) -> list[Any]:
        member = self._member
        if member is None or not member.changes:
            return self._fetched(most)
        # What was fetched before the rebalance may come out with it.
        found = self._fetched(most) if self.kernel.rng.random() < 0.5 else []
        while member.changes:
            change, shards = member.take()
            if change is Change.FENCED:
                error = client_error("FENCED_INSTANCE_ID", "simulated: static consumer fenced", fatal=True)
                self.settings["error_cb"](error)
                return found
            self._callbacks[change](
                self, [Committed(TopicPartition(member.topic, s), -1001, "") for s in shards]
            )
            member.told()
        return found

    def _fetched(self, most: int) -> list[Any]:
        logs, told = self.brokers.logs, self._told
        news = [
            place
            for place, position in self._positions.items()
            if told.get(place) != position or position < logs[place].stable
        ]
        if not news:
            return news
        chance = self.kernel.rng.random
        found: list[Any] = []
        first = int(chance() * len(news))
        for place in news[first:] + news[:first]:
            if place in self._paused or len(found) >= most:
                continue
            if not self.brokers.serves(place, self.process) or chance() < 0.1:
                continue
            found += self._fetch(place, min(most - len(found), 1 + int(chance() * RUN_RECORDS)))
        return found

    def _fetch(self, place: TopicPartition, most: int) -> list[Any]:
        log, position = self.brokers.logs[place], self._positions[place]
        if self._told.get(place) == position and not log.start <= position < log.stable:
            return []
        if not log.start <= position <= log.end:
            self._told[place] = position
            return [SimError(place, position, "_AUTO_OFFSET_RESET")]
        found, position = log.read(position, most)
        self._positions[place] = position
        if self._says_ends and not found and position == log.stable and self._told.get(place) != position:
            self._told[place] = position
            return [SimError(place, position, "_PARTITION_EOF")]
        return list(found)

    def close(self) -> None:
        """Give everything back, and leave; a static member's place stays its own for a session."""
        self.kernel.step("close consumer")
        if self._member is not None:
            shards = sorted(self._member.owned)
            if shards:
                self._callbacks[Change.REVOKE](
                    self, [Committed(TopicPartition(self._member.topic, s), -1001, "") for s in shards]
                )
            self._member.close()
        self._closed = True


class Committed:
    """A partition with an offset, as the client's own."""

    __slots__ = ("error", "metadata", "offset", "partition", "topic")

    def __init__(self, place: TopicPartition, offset: int, metadata: str) -> None:
        self.topic, self.partition = place
        self.offset = offset
        self.metadata = metadata
        self.error = None
