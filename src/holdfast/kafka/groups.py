"""Consumer groups: who works in them, how far they are, and whether everything is done.

Two kinds of answers. `GroupAdmin.describe` tells who is there. `GroupAdmin.is_drained` compares committed
positions with the ends of the inputs, which is what `holdfast demo`, `verify --wait` and the lag columns
rest on.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from types import TracebackType

from confluent_kafka import KafkaError, KafkaException

from holdfast.errors import BrokersUnreachable
from holdfast.kafka.errors import kafka_error, mapped, translate
from holdfast.kafka.members import CLIENT_WAIT_S, Group, GroupQuestion
from holdfast.kafka.offsets import CALL_S, OffsetAdmin, silence
from holdfast.kafka.reader import PartitionReader, reader_settings
from holdfast.kafka.settings import Properties, consumer_config
from holdfast.record import TopicPartition

PROBE_GROUP = "holdfast-probe"
"""Group name of the reader that looks into gaps; it never commits."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a group is with one partition.

    Attributes:
        committed: its position, None if it never committed one.
        end: the offset after the last committed record.
        lag: records still to come. Transaction markers between the two count as records, but a
            gap that holds nothing else is 0.
    """

    committed: int | None
    end: int
    lag: int


@dataclass(frozen=True, slots=True)
class Drained:
    """Whether groups have handled everything, and how far they are.

    Attributes:
        drained: no input holds a record that its group has not committed, and no transaction is
            open that could add one.
        groups: by group and partition, how far it is. A group is missing if its positions are
            not stable at the moment, which also means that it is not drained.
    """

    drained: bool
    groups: Mapping[str, Mapping[TopicPartition, Standing]]

    @property
    def lag(self) -> Mapping[str, int]:
        """Records still to come, by group."""
        return {group: sum(each.lag for each in places.values()) for group, places in self.groups.items()}


class GroupAdmin(OffsetAdmin):
    """Asks a cluster about groups, positions and ends. Every call blocks, at most about `timeout` seconds.

    It keeps one small client per group that it was asked about; close it, or use it in a `with`
    statement. Not for several threads at once.

    Args:
        bootstrap_servers: `host:port` of some brokers, separated by commas.
        properties: the user's own client properties.
        timeout: seconds for one call.

    Raises:
        BrokersUnreachable: no broker answered in time.
        ClusterError: the client refuses the properties.
    """

    def __init__(
        self, bootstrap_servers: str, properties: Properties | None = None, *, timeout: float = CALL_S
    ) -> None:
        super().__init__(bootstrap_servers, properties, timeout=timeout)
        self._readers: dict[str, PartitionReader] = {}
        # Gaps that were looked into and hold no record: partition -> (from, to).
        self._empty: dict[TopicPartition, tuple[int, int]] = {}

    def __enter__(self) -> GroupAdmin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the clients."""
        while self._readers:
            self._readers.popitem()[1].close()

    def groups(self) -> tuple[str, ...]:
        """Names of all groups of the cluster, sorted.

        Raises:
            BrokersUnreachable: the brokers do not answer any more.
            ClusterError: a broker does not tell: its groups would be missing.
        """
        doing = f"listing the groups of {self._servers}"
        with mapped(doing):
            answer = self._client.list_consumer_groups(request_timeout=self._timeout)
        try:
            with mapped(doing):
                found = answer.result(self._timeout + 1.0)
        except FutureTimeout as error:
            raise silence(doing, self._timeout) from error
        for failed in found.errors or ():
            raise translate(failed, doing)
        return tuple(sorted(group.group_id for group in found.valid))

    def describe(self, group_id: str) -> Group:
        """Who is in a group; one that does not exist is `dead` and has no members.

        Raises:
            BrokersUnreachable: the coordinator does not answer.
            ClusterError: this user may not see the group.
        """
        return GroupQuestion(self._client, group_id, self._timeout).wait()

    def delete(self, group_id: str) -> bool:
        """Delete a group with its positions; False if it still has members. One that is not there is deleted.

        Raises:
            BrokersUnreachable: the coordinator does not answer.
            ClusterError: it refuses.
        """
        doing = f"deleting the group {group_id}"
        with mapped(doing):
            answers = self._client.delete_consumer_groups([group_id], request_timeout=CLIENT_WAIT_S)
        try:
            answers[group_id].result(self._timeout)
        except KafkaException as error:
            code = kafka_error(error).code()
            if code == KafkaError.GROUP_ID_NOT_FOUND:
                return True
            if code == KafkaError.NON_EMPTY_GROUP:
                return False
            raise translate(error, doing) from error
        except FutureTimeout as error:
            # What this client has not sent is not to happen when nobody expects it any more.
            self._client = self._connect()
            raise silence(doing, self._timeout) from error
        return True

    def committed(self, group_id: str, places: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        """A group's positions, after every transaction that may still change them has ended.

        Raises:
            BrokersUnreachable: no answer in time, or a transaction stayed open for so long.
            ClusterError: this user may not read in the group.
        """
        return self._reader(group_id).committed(places, self._timeout)

    def is_drained(self, inputs: Mapping[str, Sequence[TopicPartition]], *, patience: float = 1.0) -> Drained:
        """Tell whether every group has handled all of its inputs.

        The order of the reads makes the answer hold: first all committed positions, then the ends.
        What a group had not written by the time of the first read would follow from an input beyond
        that position, and the later read of the ends would show such an input. An open transaction
        shows as a high watermark above the last stable offset.

        Args:
            inputs: the partitions that each group reads.
            patience: seconds to wait for open transactions that hold back committed positions.

        Raises:
            BrokersUnreachable: the brokers do not answer.
            ClusterError: an input does not exist, or may not be read.
        """
        committed = self._stable(inputs, time.monotonic() + patience)
        places = {place for each in inputs.values() for place in each}
        ends, begins = self.ends(places), self.begins(places)
        settled = ends == self.high_watermarks(places)
        # A position may lie before the first record that is kept, or may not be there yet.
        starts = {
            (group, place): max(begins[place], begins[place] if at is None else at)
            for group, positions in committed.items()
            for place, at in positions.items()
        }
        self._look_into_gaps({(place, start): ends[place] for (_, place), start in starts.items()})
        groups = {
            group: {
                place: Standing(at, ends[place], self._lag(place, starts[group, place], ends[place]))
                for place, at in positions.items()
            }
            for group, positions in committed.items()
        }
        done = settled and len(groups) == len(inputs)
        return Drained(
            done and all(each.lag == 0 for places in groups.values() for each in places.values()), groups
        )

    def _stable(
        self, inputs: Mapping[str, Sequence[TopicPartition]], deadline: float
    ) -> dict[str, dict[TopicPartition, int | None]]:
        """Positions of the groups whose positions are stable.

        A transaction that a killed worker left open holds its group's answer back until the brokers
        end it. That is no failure: the group is just not done. If the brokers are gone instead, the
        next call says so.
        """
        found = {}
        for group_id, places in inputs.items():
            left = max(0.25, deadline - time.monotonic())
            try:
                found[group_id] = self._reader(group_id).committed(places, left)
            except BrokersUnreachable:
                continue
        return found

    def _lag(self, place: TopicPartition, start: int, end: int) -> int:
        low, high = self._empty.get(place, (end, end))
        return 0 if low <= start and end <= high else max(0, end - start)

    def _look_into_gaps(self, gaps: Mapping[tuple[TopicPartition, int], int]) -> None:
        """Find out which partitions hold nothing but transaction markers from a position to the end."""
        wanted: dict[TopicPartition, int] = {}
        for (place, start), end in gaps.items():
            if self._lag(place, start, end):
                # Groups that share an input: the one that is ahead has the smallest gap.
                wanted[place] = max(start, wanted.get(place, start))
        if not wanted:
            return
        reader = self._reader(PROBE_GROUP)
        reader.start(wanted)
        try:
            left = set(wanted)
            deadline = time.monotonic() + self._timeout / 4
            while left and time.monotonic() < deadline:
                records, ends = reader.read(100, 0.1)
                left -= {TopicPartition(it.topic(), it.partition()) for it in records}
                for place in left & ends.keys():
                    self._empty[place] = (wanted[place], ends[place])
                left -= ends.keys()
        finally:
            reader.stop(wanted)

    def _reader(self, group_id: str) -> PartitionReader:
        if group_id not in self._readers:
            settings = reader_settings(consumer_config(self._servers, group_id, self._properties))
            # It looks at a few records, and for that needs no megabytes ahead.
            self._readers[group_id] = PartitionReader({**settings, "queued.max.messages.kbytes": 256})
        return self._readers[group_id]


def partitions_of(topics: Iterable[str], count: int) -> tuple[TopicPartition, ...]:
    """All partitions of co-partitioned topics."""
    return tuple(TopicPartition(topic, number) for topic in topics for number in range(count))
