"""Records for a sink under test, and the batches that a worker would make of them."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from itertools import zip_longest
from typing import Any, Final

from holdfast.record import TopicPartition, Write
from holdfast.sinks.base import SinkBatch
from holdfast.testing.message import MemoryMessage

Value = Callable[[str, Any], Any]
"""Makes what a handler returns: from a key, and what is to be held under it."""

_STEP: Final = 15
"""Records of a partition that a cut holds at most."""


class Feed:
    """A topic of some partitions with records on it, read by one group, as far as is committed.

    Its names are no other feed's, so that a system may be used by many tests.

    Args:
        value: makes what the handler returns.

    Attributes:
        group: the consumer group.
        topic_id: the topic's; another one makes it a topic that was made anew.
        token: of the shards' owner.
        written: what was made of the records so far, by key, in order.
    """

    def __init__(self, value: Value) -> None:
        name = uuid.uuid4().hex[:10]
        self.group = f"conformance.{name}"
        self.topic_id: str | None = f"{name}-1"
        self.token = 1
        self.written: dict[str, list[Any]] = {}
        self._topic = f"records-{name}"
        self._prefix = name
        self._value = value
        self._records: dict[TopicPartition, list[list[Write]]] = {}
        self._committed: dict[TopicPartition, int] = {}

    def place(self, partition: int = 0) -> TopicPartition:
        """A partition of the topic."""
        return TopicPartition(self._topic, partition)

    def key(self, name: str) -> str:
        """A key that no other feed has."""
        return f"{self._prefix}-{name}"

    def add(self, name: str, *payloads: Any, partition: int = 0) -> None:
        """Add a record: of its key, with a write for each payload."""
        key = self.key(name)
        self.written.setdefault(key, []).extend(payloads)
        self.add_values(name, *(self._value(key, payload) for payload in payloads), partition=partition)

    def add_values(self, name: str, *values: Any, partition: int = 0) -> None:
        """Add a record of which nothing is expected to be held; without values it makes no writes."""
        place = self.place(partition)
        records = self._records.setdefault(place, [])
        key = self.key(name).encode()
        message = MemoryMessage(place.topic, partition, len(records), key=key, value=b"{}")
        records.append([Write(message, value) for value in values])

    def mend(self, offset: int, name: str, payload: Any) -> None:
        """Have a record of the first partition be a good one after all, the first of its key."""
        key = self.key(name)
        self.written.setdefault(key, []).insert(0, payload)
        records = self._records[self.place()]
        records[offset] = [Write(records[offset][0].message, self._value(key, payload))]

    def ends(self) -> dict[TopicPartition, int]:
        """Where the partitions end."""
        return {place: len(records) for place, records in self._records.items()}

    def is_committed(self) -> bool:
        """Whether there is nothing left to be written."""
        return all(self._committed.get(place, 0) >= end for place, end in self.ends().items())

    def cut(self, choose: random.Random) -> dict[TopicPartition, int]:
        """Ends of a next batch, some records beyond what is committed; each partition its own number."""
        return {
            place: min(self._committed.get(place, 0) + choose.randint(0, _STEP), end)
            for place, end in self.ends().items()
        }

    def commit(self, ends: Mapping[TopicPartition, int] | None = None) -> None:
        """Let the positions of a batch reach Kafka."""
        self._committed |= self.ends() if ends is None else ends

    def made_anew(self) -> None:
        """Delete the topic, and create it again."""
        self._records.clear()
        self._committed.clear()
        self.topic_id = f"{self._prefix}-2"
        self.token += 1

    def batch(
        self,
        ends: Mapping[TopicPartition, int] | None = None,
        *,
        token: int | None = None,
        stops_at_refusal: bool = False,
    ) -> SinkBatch:
        """The records from what is committed up to some ends; of the partitions in turns.

        Args:
            ends: up to where; as far as there are records, unless given.
            token: of another owner.
            stops_at_refusal: see `SinkBatch`.
        """
        ends = self.ends() if ends is None else ends
        begins = {place: self._committed.get(place, 0) for place in ends}
        parts = [self._records[place][begins[place] : end] for place, end in ends.items()]
        return SinkBatch(
            group=self.group,
            writes=[
                write for records in zip_longest(*parts, fillvalue=()) for made in records for write in made
            ],
            begins=begins,
            ends=ends,
            fences=dict.fromkeys(ends, self.token if token is None else token),
            topic_ids={self._topic: self.topic_id},
            stops_at_refusal=stops_at_refusal,
        )
