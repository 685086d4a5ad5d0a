"""A consumer outside any rebalance: reads partitions from given offsets to their end.

Used to restore state, to look at topics, and to check invariants. It belongs to a
group only to ask for its committed offsets; it never joins.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from operator import methodcaller
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient

from holdfast.errors import ClusterError
from holdfast.kafka.ends import EndsQuestion
from holdfast.kafka.errors import mapped, translate
from holdfast.kafka.members import GroupQuestion
from holdfast.kafka.positions import Committed, TopicId, note_beside, read
from holdfast.kafka.probe import PROBE_NAME
from holdfast.kafka.settings import GROUP_PROTOCOL
from holdfast.record import Message, TopicPartition

log = logging.getLogger(__name__)

_UNREADABLE = frozenset(
    {
        KafkaError._FATAL,
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)
"""What the client does not get over by itself. (A message's error never says that it is retriable.)"""

_HEAR_S: Final = 0.5
"""Seconds to wait for an answer before metadata is asked for, and for the metadata."""

_ERROR = methodcaller("error")
_LOG_ERRORS = 3
"""The client's log level for errors and worse."""


class TopicFacts(NamedTuple):
    """What the brokers know of a topic.

    Attributes:
        id: their own name for it: a topic that was deleted and made anew has another one.
        partitions: how many it has.
    """

    id: str
    partitions: int


class PartitionReader:
    """Reads assigned partitions; `read` tells which of them have reached their end.

    Ends are those of committed records (the last stable offset), and they count by
    position: a partition whose last offsets are control records, or were compacted
    away, ends all the same.

    Args:
        settings: client settings with the group's id; made by `reader_settings`.

    Raises:
        ClusterError: the client refuses the settings.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)
        self._uncommitted: Consumer | None = None
        self._admin: AdminClient | None = None
        with mapped("starting a reader"):
            self._client = Consumer(self._settings)

    def committed(
        self, places: Sequence[TopicPartition], timeout: float, topic_id: TopicId | None = None
    ) -> dict[TopicPartition, int | None]:
        """The group's committed offsets, after every transaction that may still change them has ended.

        Args:
            places: whose offsets.
            timeout: seconds to wait for open transactions and for the coordinator.
            topic_id: an offset that was committed for another topic of the same name counts as none.

        Raises:
            ClusterError: no answer in time.
        """
        return {place: each.offset for place, each in self.standing(places, timeout, topic_id).items()}

    def standing(
        self,
        places: Sequence[TopicPartition],
        timeout: float,
        topic_id: TopicId | None = None,
        *,
        is_stable: bool = True,
    ) -> dict[TopicPartition, Committed]:
        """The same with what was noted beside the offsets.

        Args:
            places: whose offsets.
            timeout: seconds to wait.
            topic_id: an offset that was committed for another topic of the same name counts as none.
            is_stable: whether to wait for open transactions; else the offsets are those before them.

        Raises:
            ClusterError: no answer in time.
        """
        # The client waits for open transactions when it reads committed records only.
        client = self._client if is_stable else self._reader_of_uncommitted()
        with mapped("reading committed offsets"):
            found = client.committed([ClientPartition(*p) for p in places], timeout=timeout)
        for each in found:
            if each.error is not None:
                raise translate(each.error, f"reading the committed offset of {each.topic}[{each.partition}]")
        standing = {}
        for each in found:
            place = TopicPartition(each.topic, each.partition)
            id_ = topic_id(each.topic) if topic_id is not None else None
            standing[place] = read(each.offset, note_beside(each), id_)
            if each.offset >= 0 and standing[place].offset is None:
                log.warning("%s: offset %d is of an earlier topic of that name", place, each.offset)
        return standing

    def warm_up(self) -> None:
        """Look for the group's coordinator also for positions that are not stable, before they are asked for.

        Raises:
            ClusterError: the client refuses the settings.
        """
        self._reader_of_uncommitted()

    def bounds(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        """The first offset that is still kept, and the offset after the last committed record.

        Raises:
            ClusterError: no answer in time.
        """
        return _bounds(self._client, place, timeout)

    def high_watermark(self, place: TopicPartition, timeout: float) -> int:
        """The offset after the last replicated record, open transactions included.

        A reader's position reaches it only when every transaction below it has ended.

        Raises:
            ClusterError: no answer in time.
        """
        # The client asks for ends at the isolation that it reads with.
        return _bounds(self._reader_of_uncommitted(), place, timeout)[1]

    def known_end(self, place: TopicPartition) -> int:
        """The end of a partition that is being read, as the last fetch told it; 0 before. Asks nobody."""
        with mapped(f"reading the bounds of {place}"):
            return max(self._client.get_watermark_offsets(ClientPartition(*place), cached=True)[1], 0)

    def topics(self, names: Collection[str], timeout: float) -> dict[str, TopicFacts]:
        """What the brokers know of topics.

        Raises:
            ClusterError: no answer in time, or a topic does not exist.
        """
        if not names:
            return {}
        admin = self._admin_client()
        what = f"asking what {', '.join(names)} are"
        with mapped(what):
            answers = admin.describe_topics(TopicCollection(list(names)), request_timeout=timeout)
            _hear_of_controllers(admin, answers.values(), timeout)
            try:
                found = {name: answer.result(1.0) for name, answer in answers.items()}
            except FutureTimeout:
                raise ClusterError(f"{what}: no answer within {timeout:.0f} s") from None
        return {name: TopicFacts(str(each.topic_id), len(each.partitions)) for name, each in found.items()}

    def groups(self, timeout: float) -> tuple[str, ...]:
        """Names of all groups that this user may see, sorted.

        Raises:
            ClusterError: no answer in time, or a broker does not tell: its groups would be missing.
        """
        doing = "listing the groups"
        with mapped(doing):
            answer = self._admin_client().list_consumer_groups(request_timeout=timeout)
            try:
                found = answer.result(timeout + 1.0)
            except FutureTimeout:
                raise ClusterError(f"{doing}: no answer within {timeout:.0f} s") from None
        for error in found.errors or ():
            raise translate(error, doing)
        return tuple(sorted(group.group_id for group in found.valid))

    def ask_group(self, group_id: str, timeout: float) -> GroupQuestion:
        """Ask who is in a group, without waiting for the answer.

        Raises:
            ClusterError: the client takes no question.
        """
        return GroupQuestion(self._admin_client(), group_id, timeout)

    def ask_ends(self, places: Collection[TopicPartition], timeout: float) -> EndsQuestion:
        """Ask where committed records end, without waiting for the answer.

        Raises:
            ClusterError: the client takes no question.
        """
        return EndsQuestion(self._admin_client(), places, timeout)

    def start(self, positions: Mapping[TopicPartition, int]) -> None:
        """Begin to read partitions at the given offsets."""
        with mapped("reading partitions"):
            self._client.incremental_assign(
                [ClientPartition(p.topic, p.partition, offset) for p, offset in positions.items()]
            )

    def stop(self, places: Iterable[TopicPartition]) -> None:
        """Read partitions no longer."""
        parts = [ClientPartition(*p) for p in places]
        if parts:
            with mapped("reading partitions"):
                self._client.incremental_unassign(parts)

    def read(self, most: int, wait: float) -> tuple[list[Message], dict[TopicPartition, int]]:
        """Return records as they come, and the ends of partitions that were read to their end.

        Args:
            most: the most records to return.
            wait: seconds to wait for a first one.

        Raises:
            ClusterError: a partition cannot be read, for example since its topic was deleted.
        """
        with mapped("reading partitions"):
            fetched: list[Any] = self._client.consume(1, wait)
            if fetched:
                fetched += self._client.consume(most - 1, 0)
        errors = list(map(_ERROR, fetched))
        if not any(errors):
            return fetched, {}
        records: list[Message] = []
        ends: dict[TopicPartition, int] = {}
        for message, error in zip(fetched, errors, strict=True):
            if error is None:
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ends[TopicPartition(message.topic(), message.partition())] = message.offset()
            elif error.fatal() or error.code() in _UNREADABLE:
                raise translate(KafkaException(error), f"reading {message.topic()}[{message.partition()}]")
        return records, ends

    def _reader_of_uncommitted(self) -> Consumer:
        if self._uncommitted is None:
            with mapped("starting a reader"):
                self._uncommitted = Consumer({**self._settings, "isolation.level": "read_uncommitted"})
        return self._uncommitted

    def _admin_client(self) -> AdminClient:
        if self._admin is None:
            with mapped("starting a reader"):
                # It would warn of every setting that is a consumer's.
                self._admin = AdminClient({**self._settings, "log_level": _LOG_ERRORS})
        return self._admin

    def close(self) -> None:
        """Let go of the client."""
        with mapped("closing a reader"):
            if self._uncommitted is not None:
                self._uncommitted.close()
            self._client.close()


def _hear_of_controllers(admin: AdminClient, answers: Iterable[Future[Any]], timeout: float) -> None:
    """Wait for answers, and ask for metadata as long as there is none.

    The client waits for the broker that it takes for the controller (with KRaft, any that it was told). When
    that one is dead it goes on waiting: it hears of another only with metadata, for which it does not ask.
    """
    deadline = time.monotonic() + timeout
    answers = tuple(answers)
    while True:
        wait(answers, _HEAR_S)
        if all(answer.done() for answer in answers):
            return
        left = deadline - time.monotonic()
        if left <= 0:
            return
        with contextlib.suppress(KafkaException):
            # The topic is never created; metadata of a name, as that of all topics may be large.
            admin.list_topics(PROBE_NAME, timeout=min(left, _HEAR_S))


def _bounds(client: Consumer, place: TopicPartition, timeout: float) -> tuple[int, int]:
    with mapped(f"reading the bounds of {place}"):
        bounds = client.get_watermark_offsets(ClientPartition(*place), timeout=timeout, cached=False)
    if bounds is None:
        raise ClusterError(f"reading the bounds of {place}: no answer within {timeout:.0f} s")
    return bounds


def reader_settings(consumer_settings: Mapping[str, Any]) -> dict[str, Any]:
    """Client settings for a `PartitionReader`, from those of a group's consumer."""
    return {
        **consumer_settings,
        # It never joins the group that it asks for, and the newer protocol refuses its other settings.
        GROUP_PROTOCOL: "classic",
        "enable.partition.eof": True,
        # A position that is gone must be seen, never silently moved.
        "auto.offset.reset": "error",
        # A restore is a bulk read: let it run ahead further than the live loop does.
        "queued.max.messages.kbytes": 32_768,
        "fetch.wait.max.ms": 50,
    }
