"""Where partitions end once the transactions that are open in them have ended."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from holdfast.errors import BrokersUnreachable
from holdfast.kafka.settings import OPEN_TRANSACTION_S
from holdfast.record import TopicPartition

_POLL_S = 0.02


class Offsets(Protocol):
    """Tells where partitions end; see `holdfast.kafka.offsets.OffsetAdmin`."""

    def ends(self, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The last stable offset of each partition."""
        ...

    def high_watermarks(self, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last replicated record of each partition."""
        ...


@dataclass(frozen=True, slots=True)
class SettledEnds:
    """The ends of some partitions.

    Attributes:
        wanted: the high watermarks that there were when they were asked for.
        stable: the last stable offsets, when all had reached those or were waited for as long as it may take.
    """

    wanted: Mapping[TopicPartition, int]
    stable: Mapping[TopicPartition, int]

    @property
    def stuck(self) -> tuple[TopicPartition, ...]:
        """The partitions in which a transaction stays open."""
        return tuple(place for place, end in self.wanted.items() if self.stable[place] < end)


def settled_ends(
    offsets: Offsets, places: Collection[TopicPartition], within: float = OPEN_TRANSACTION_S
) -> SettledEnds:
    """Wait until every transaction that is open below the present ends has ended.

    A commit is visible in one partition a moment before it is in another, and what a worker left open that
    died is ended by the brokers. The ends that all partitions have now are asked for first: a marker that is
    written between the two questions cannot make a partition look stuck.

    Args:
        offsets: tells the ends.
        places: the partitions.
        within: seconds after which a transaction stays open for good.

    Raises:
        BrokersUnreachable: the brokers did not answer in that time.
        ClusterError: the ends cannot be read.
    """
    wanted = offsets.high_watermarks(places)
    deadline = time.monotonic() + within
    while True:
        try:
            found = SettledEnds(wanted, offsets.ends(places))
        except BrokersUnreachable:
            # Leaders change. That is as good a reason to wait as an open transaction.
            if time.monotonic() > deadline:
                raise
            continue
        if not found.stuck or time.monotonic() > deadline:
            return found
        time.sleep(_POLL_S)
