"""Parts for tests of the runtime: changelogs and committed offsets in memory."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError

from holdfast.errors import ClusterError, HoldfastError
from holdfast.kafka.errors import translate
from holdfast.kafka.members import Group, Member
from holdfast.kafka.positions import Committed, Role, TopicId
from holdfast.kafka.reader import TopicFacts
from holdfast.record import Message, TopicPartition
from holdfast.testing import MemoryMessage


class MemoryTopics:
    """Logs with committed offsets; `faults` are raised by the calls named, once each.

    Attributes:
        logs: records by partition; None is a control record.
        open_from: where an open transaction begins: nothing from there on is handed out.
        committed: the group's offsets.
        fences: the fencing tokens noted with them, 0 unless given.
        ids: the topics' ids, their names unless given.
        members: the group's members; see `member`.
        group_state: the group's state.
        firsts: the first offset that is kept, 0 unless given.
        calls: how often each call was made.
        holds: calls that wait for an event.
    """

    def __init__(self) -> None:
        self.logs: dict[TopicPartition, list[tuple[bytes, bytes | None] | None]] = {}
        self.open_from: dict[TopicPartition, int] = {}
        self.committed: dict[TopicPartition, int] = {}
        self.fences: dict[TopicPartition, int] = {}
        self.faults: dict[str, list[Exception | None]] = {}
        self.ids: dict[str, str] = {}
        self.members: list[Member] = []
        self.group_state = "stable"
        self.partitions: dict[str, int] = {}
        self.firsts: dict[TopicPartition, int] = {}
        self.roles: dict[TopicPartition, Role] = {}
        self.calls: Counter[str] = Counter()
        self.holds: dict[str, threading.Event] = {}

    def log(self, place: TopicPartition) -> list[tuple[bytes, bytes | None] | None]:
        """A partition's records."""
        return self.logs.setdefault(place, [])

    def stable_end(self, place: TopicPartition) -> int:
        """Where readers of committed records stop."""
        return min(self.open_from.get(place, 1 << 60), len(self.log(place)))

    def fault(self, call: str) -> None:
        """Raise what is planned for this call."""
        self.calls[call] += 1
        if call in self.holds:
            assert self.holds[call].wait(10.0)
        planned = self.faults.get(call)
        if planned and (error := planned.pop(0)):
            raise error


class MemoryReader:
    """A `PartitionReader` over `MemoryTopics`."""

    def __init__(self, topics: MemoryTopics) -> None:
        self._topics = topics
        self._positions: dict[TopicPartition, int] = {}
        self._ended: set[TopicPartition] = set()
        self.closed = False
        topics.fault("connect")

    def committed(
        self,
        places: Sequence[TopicPartition],
        timeout: float,  # noqa: ARG002
        topic_id: TopicId,  # noqa: ARG002
    ) -> dict[TopicPartition, int | None]:
        """Committed offsets."""
        self._topics.fault("committed")
        return {place: self._topics.committed.get(place) for place in places}

    def standing(
        self,
        places: Sequence[TopicPartition],
        timeout: float,
        topic_id: TopicId,
        *,
        is_stable: bool = True,
    ) -> dict[TopicPartition, Committed]:
        """Committed offsets with their fencing tokens; those before open transactions have a call's name."""
        if not is_stable:
            self._topics.fault("unstable")
            return {}
        fences, roles = self._topics.fences, self._topics.roles
        return {
            place: Committed(offset, fences.get(place, 0), role=roles.get(place, Role.LIVE))
            for place, offset in self.committed(places, timeout, topic_id).items()
        }

    def bounds(self, place: TopicPartition, timeout: float) -> tuple[int, int]:  # noqa: ARG002
        """First offset and last stable offset."""
        self._topics.fault("bounds")
        return self._topics.firsts.get(place, 0), self._topics.stable_end(place)

    def topics(self, names: Collection[str], timeout: float) -> dict[str, TopicFacts]:  # noqa: ARG002
        """The topics' ids and numbers of partitions."""
        self._topics.fault("topics")
        known = self._topics
        return {n: TopicFacts(known.ids.get(n, n), known.partitions.get(n, 1 << 20)) for n in names}

    def high_watermark(self, place: TopicPartition, timeout: float) -> int:  # noqa: ARG002
        """The end, open transactions included."""
        self._topics.fault("high_watermark")
        return len(self._topics.log(place))

    def ask_group(self, group_id: str, timeout: float) -> MemoryQuestion:  # noqa: ARG002
        """The group's members, at once."""
        self._topics.fault("ask_group")
        return MemoryQuestion(Group(group_id, self._topics.group_state, tuple(self._topics.members)))

    def position(self, place: TopicPartition) -> int | None:
        """The next offset to read; None when it is not being read."""
        return self._positions.get(place)

    def ask_ends(self, places: Collection[TopicPartition], timeout: float) -> MemoryEnds:  # noqa: ARG002
        """Where committed records end, at once."""
        self._topics.fault("ask_ends")
        return MemoryEnds({place: self._topics.stable_end(place) for place in places})

    def known_end(self, place: TopicPartition) -> int:
        """The end."""
        return len(self._topics.log(place))

    def start(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read from here."""
        self._topics.fault("start")
        self._positions.update(positions)
        self._ended.difference_update(positions)

    def stop(self, places: Iterable[TopicPartition]) -> None:
        """Read no longer."""
        self._topics.fault("stop")
        for place in places:
            self._positions.pop(place, None)

    def read(self, most: int, wait: float) -> tuple[list[Message], dict[TopicPartition, int]]:  # noqa: ARG002
        """At most two records of each partition, and ends, each of them once."""
        self._topics.fault("read")
        records: list[Any] = []
        ends = {}
        for place, position in self._positions.items():
            end = self._topics.stable_end(place)
            upto = min(position + 2, end)
            for offset in range(position, upto):
                record = self._topics.log(place)[offset]
                if record is not None:
                    records.append(MemoryMessage(*place, offset, key=record[0], value=record[1]))
            if upto > position:
                self._ended.discard(place)
            self._positions[place] = upto
            if upto == end and place not in self._ended:
                self._ended.add(place)
                ends[place] = end
        if not records:
            time.sleep(0.005)
        return records, ends

    def close(self) -> None:
        """Note it."""
        self.closed = True


class MemoryQuestion:
    """A `GroupQuestion` that is answered at once."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self.is_answered = True

    def wait(self) -> Group:
        """The group."""
        return self._group


class MemoryEnds:
    """An `EndsQuestion` that is answered at once."""

    def __init__(self, ends: Mapping[TopicPartition, int]) -> None:
        self._ends = ends
        self.is_answered = True

    def answers(self) -> Mapping[TopicPartition, int]:
        """The ends."""
        return self._ends


def member(name: str, topic: str, *partitions: int) -> Member:
    """A static member of a group."""
    return Member(f"{name}-1", name, "127.0.0.1", name, tuple(TopicPartition(topic, p) for p in partitions))


def wait_until(condition: Callable[[], object], within: float = 10.0) -> None:
    """Wait for a condition; fail after `within` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.005)


def away() -> ClusterError:
    """What brokers that do not answer give."""
    return ClusterError("no answer")


def forbidden(doing: str) -> HoldfastError:
    """What brokers say to a user who lacks a right to a topic."""
    return translate(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), doing)
