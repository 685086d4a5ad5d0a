"""Reading whole topics: every committed record, from the first that is kept to the present end."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Protocol

from holdfast.errors import ClusterError
from holdfast.kafka.offsets import CALL_S, OffsetAdmin
from holdfast.kafka.reader import PartitionReader, reader_settings
from holdfast.kafka.settings import Properties, consumer_config
from holdfast.kafka.settled import settled_ends
from holdfast.record import Message, TopicPartition

log = logging.getLogger(__name__)

SCAN_GROUP = "holdfast-scan"
"""Group name of the reader; it never joins and never commits."""

SILENCE_S = 30.0
"""Seconds without any record after which brokers count as gone."""

_BATCH = 5_000
_WAIT_S = 0.25


class Progress(Protocol):
    """Told how far a scan is, after every batch."""

    def __call__(self, topic: str, done: int, total: int) -> None:
        """`done` of `total` offsets of `topic` were passed."""


def _untold(topic: str, done: int, total: int) -> None:
    """Nobody looks."""


class LogScanner:
    """Scans topics of a cluster. Scans may be interleaved: each has a client of its own.

    Args:
        bootstrap_servers: `host:port` of some brokers, separated by commas.
        properties: the user's own client properties.
        on_progress: told how far a scan is.

    Raises:
        BrokersUnreachable: no broker answered in time.
        ClusterError: the client refuses the properties.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        properties: Properties | None = None,
        *,
        on_progress: Progress = _untold,
    ) -> None:
        self.offsets = OffsetAdmin(bootstrap_servers, properties, timeout=CALL_S)
        self._settings = reader_settings(consumer_config(bootstrap_servers, SCAN_GROUP, properties))
        self._on_progress = on_progress

    def require(self, name: str, remark: str = "") -> None:
        """Make sure that a topic of Holdfast's own exists.

        Args:
            name: the topic.
            remark: a sentence that is said in addition.

        Raises:
            ClusterError: it does not, or the brokers cannot be read.
        """
        if name not in self.offsets.partitions([name]):
            raise ClusterError(
                f"the cluster has no topic {name}. Is it the right cluster? `holdfast apply` creates it."
                f"{remark and ' ' + remark}"
            )

    def topic(self, name: str, only: Callable[[TopicPartition], bool] | None = None) -> Iterator[Message]:
        """The committed records of a topic that were there when the scan began; none if it does not exist.

        Records of a partition come in order, those of different partitions in no particular one.

        Args:
            name: the topic.
            only: chooses partitions.

        Raises:
            ClusterError: the brokers cannot be read.
        """
        places = self.offsets.partitions([name]).get(name, ())
        chosen = [place for place in places if only is None or only(place)]
        begins, ends = self.offsets.begins(chosen), self._settled_ends(chosen)
        begins = {place: begin for place, begin in begins.items() if begin < ends[place]}
        total = sum(ends[place] - begin for place, begin in begins.items())
        if not begins:
            return
        with contextlib.closing(PartitionReader(self._settings)) as reader:
            reader.start(begins)
            for records, left in _batches(reader, name, begins, ends):
                self._on_progress(name, total - left, total)
                yield from records

    def _settled_ends(self, places: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The present ends, so that a scan sees whole transactions, also of a worker that died."""
        found = settled_ends(self.offsets, places)
        if not found.stuck:
            return found.wanted
        log.warning(
            "a transaction stays open in %s: records from there on are not read",
            ", ".join(map(str, found.stuck)),
        )
        return {place: min(found.stable[place], end) for place, end in found.wanted.items()}


def _batches(
    reader: PartitionReader,
    name: str,
    begins: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> Iterator[tuple[list[Message], int]]:
    """Batches of records below `ends`, each with the number of offsets that are left."""
    positions = dict(begins)
    stop = {place.partition: end for place, end in ends.items()}
    heard = time.monotonic()
    while positions:
        fetched, eofs = reader.read(_BATCH, _WAIT_S)
        if fetched or eofs:
            heard = time.monotonic()
        elif time.monotonic() - heard > SILENCE_S:
            raise ClusterError(
                f"reading {name}: no record came within {SILENCE_S:.0f} s. Check that the brokers run."
            )
        last = {record.partition(): record.offset() for record in fetched}
        for place in positions:
            positions[place] = max(last.get(place.partition, -1) + 1, eofs.get(place, 0), positions[place])
        if any(offset >= stop[partition] for partition, offset in last.items()):
            # What was written after the scan began.
            fetched = [record for record in fetched if record.offset() < stop[record.partition()]]
        done = [place for place, position in positions.items() if position >= ends[place]]
        reader.stop(done)
        for place in done:
            del positions[place]
        yield fetched, sum(ends[at] - offset for at, offset in positions.items())
