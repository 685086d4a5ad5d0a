"""Watching groups until they have handled everything that is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from holdfast.errors import BrokersUnreachable, ClusterError, HoldfastError
from holdfast.kafka.groups import Drained, GroupAdmin
from holdfast.kafka.settings import Properties
from holdfast.record import TopicPartition
from holdfast.topology import Topology

LOOK_S = 0.5
"""Seconds between two looks."""

AWAY_S = 60.0
"""Seconds that brokers may be away, as when some were killed, before the watch gives up."""

_LEAVE_S = 1.0


def group_inputs(
    topology: Topology, processors: Collection[str] = ()
) -> dict[str, tuple[TopicPartition, ...]]:
    """The partitions that each processor's group reads, by group; of all processors unless some are named."""
    return {
        processor.group_id: tuple(
            TopicPartition(topic, number)
            for topic in topology.inputs(processor)
            for number in range(_partitions(topology, processor.name, topic))
        )
        for processor in topology.processors.values()
        if not processors or processor.name in processors
    }


def _partitions(topology: Topology, processor: str, topic: str) -> int:
    """How many partitions of a topic a processor reads; of the redrive topic as many as it has shards."""
    declared = topology.topics.get(topic)
    return declared.partitions if declared is not None else topology.partitions(processor)


@dataclass(frozen=True, slots=True)
class Look:
    """How far the groups were at one moment.

    Attributes:
        began: when the look began, on the monotonic clock: what was published before it was seen.
        found: what it found.
    """

    began: float
    found: Drained


class DrainWatch:
    """Looks now and then, on a thread of its own, at how far groups are. Use it in a `with` statement.

    On its own thread, since an answer may take seconds while brokers are away.

    Args:
        servers: the brokers.
        inputs: the partitions that each group reads.
        properties: the user's client properties.
        away: seconds that brokers may be away before the watch gives up.
    """

    def __init__(
        self,
        servers: str,
        inputs: Mapping[str, Sequence[TopicPartition]],
        properties: Properties | None = None,
        *,
        away: float = AWAY_S,
    ) -> None:
        self._servers = servers
        self._inputs = inputs
        self._properties = properties
        self._away = away
        self._heard = time.monotonic()
        self._ended = threading.Event()
        self._error: HoldfastError | None = None
        self._last: Look | None = None
        self._thread = threading.Thread(target=self._watch, name="drain-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        # A look under way may wait for brokers that are gone: it ends by itself.
        self._thread.join(_LEAVE_S)

    @property
    def last(self) -> Look | None:
        """The newest look; None before the first one has ended.

        Raises:
            BrokersUnreachable: the brokers have been away for too long.
            ClusterError: an input does not exist, or may not be read.
        """
        if self._error is not None:
            raise self._error
        return self._last

    def is_drained(self, since: float) -> bool:
        """Whether a look that began after `since` (monotonic) saw everything handled.

        Raises:
            BrokersUnreachable: the brokers have been away for too long.
            ClusterError: an input does not exist, or may not be read.
        """
        last = self.last
        return last is not None and last.began >= since and last.found.drained

    def _watch(self) -> None:
        try:
            while not self._ended.is_set():
                try:
                    # A new client after each silence: an old one may go on asking the wrong broker.
                    with GroupAdmin(self._servers, self._properties) as admin:
                        self._look(admin)
                except BrokersUnreachable:
                    if time.monotonic() - self._heard > self._away:
                        raise
                    self._ended.wait(LOOK_S)
        except HoldfastError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 - else whoever waits would wait for ever
            self._error = ClusterError(f"looking at how far the groups are failed: {error!r}")

    def _look(self, admin: GroupAdmin) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            self._last = Look(began, admin.is_drained(self._inputs))
            self._heard = time.monotonic()
            self._ended.wait(LOOK_S)
