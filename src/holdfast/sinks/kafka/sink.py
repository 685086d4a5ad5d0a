"""Another Kafka cluster as a sink: each record is in its topics once, whoever dies.

There is no transaction across two clusters. So the records of a batch and the inputs' positions are one
transaction over there, for each shard, before the positions are committed here::

    take over the shards that are not ours yet -> leave out what is there -> a transaction for each shard

What stands between an owner and the one before it is `holdfast.sinks.kafka.shard`. Whatever goes wrong, and
whenever it is not known whether a transaction was committed, the shard is taken over once more: that tells.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from holdfast.errors import (
    BrokersUnreachable,
    ClusterError,
    SinkBehind,
    SinkError,
    SinkRefused,
    SinkSlow,
)
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.probe import UNREACHABLE_AFTER_S
from holdfast.kafka.settings import Properties, producer_config
from holdfast.record import Position, TopicPartition
from holdfast.sinks.base import Refusal, Sink, SinkBatch
from holdfast.sinks.kafka.encode import Encoder
from holdfast.sinks.kafka.judge import judge, worst
from holdfast.sinks.kafka.positions import PositionReader, PositionTopic
from holdfast.sinks.kafka.shard import (
    BeginAnewError,
    Cluster,
    Made,
    Search,
    Shard,
    is_too_large,
    require_newest,
)
from holdfast.sinks.kafka.standing import ShardBatch, by_shard
from holdfast.sinks.kafka.together import together
from holdfast.sinks.kafka.topics import KnownTopics
from holdfast.sinks.kafka.writes import KafkaRecord
from holdfast.sinks.keyed import RecordWrites

_MOST_BYTES: Final = "message.max.bytes"
_CLIENT_MOST_BYTES: Final = 1_000_000
"""What librdkafka takes unless it is told otherwise."""

_IDLE_S: Final = 300.0
"""Seconds after which the client of a shard that is not written is let go: it has moved away, or is quiet."""

_LONGEST_WHY: Final = 300
"""Characters that are noted of why a record is refused."""


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How another cluster is written to.

    Attributes:
        name: the sink's name.
        servers: `host:port` of some brokers, separated by commas.
        properties: client properties, secrets among them.
        positions: how the names of the topics begin that keep the inputs' positions; the group follows.
        timeout: seconds that a batch may take.
    """

    name: str
    servers: str
    properties: Properties = field(default_factory=dict, repr=False)
    positions: str = "holdfast.positions"
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class _Work:
    """A shard, and what is to be written of it."""

    shard: Shard
    part: ShardBatch
    stops_at_refusal: bool
    search: Search = field(default_factory=Search)

    @property
    def is_known(self) -> bool:
        return self.shard.is_known(self.part.fencing_token, alone=self.search.is_alone)


class KafkaSink(Sink):
    """Writes to one cluster.

    Args:
        settings: how.

    Raises:
        SinkError: a client property would break a guarantee.
    """

    accepts = (KafkaRecord,)
    keeps_positions = True
    can_stop = True

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        try:
            config = producer_config(settings.servers, settings.properties)
            self._encoder = Encoder(int(config.get(_MOST_BYTES, _CLIENT_MOST_BYTES)))
        except (ClusterError, ValueError) as error:
            raise SinkError(f"sink {settings.name!r}: its `kafka` cannot be used: {error}") from error
        self._cluster = Cluster(settings.servers, settings.properties, settings.timeout)
        self._admin: TopicAdmin | None = None
        self._connecting = Lock()
        self._topics = KnownTopics(settings.servers)
        self._positions: dict[str, PositionTopic] = {}
        self._shards: dict[tuple[str, int], Shard] = {}

    def write(self, batch: SinkBatch) -> Sequence[Refusal]:
        """Write a batch, a transaction for each shard; see `Sink.write`."""
        try:
            return self._write(batch)
        except SinkSlow:
            raise
        except Exception as error:
            self._topics.forget()
            if not isinstance(error, (SinkError, BrokersUnreachable)):
                # Mostly since the topic of positions is not there any more. Brokers that do not answer are no
                # reason to ask them for more.
                self._forget_positions()
            found = self._judge(error)
            if found is error:
                raise
            raise found from error

    def close(self) -> None:
        """Let go of the clients."""
        for shard in self._shards.values():
            shard.drop()
        self._shards.clear()
        self._admin = None
        self._topics.forget()
        self._forget_positions()

    def _forget_positions(self) -> None:
        for topic in self._positions.values():
            topic.forget()

    def _write(self, batch: SinkBatch) -> list[Refusal]:
        until = time.monotonic() + self._settings.timeout
        works = [
            _Work(self._shard(batch.group, part.number), part, batch.stops_at_refusal)
            for part in by_shard(batch)
        ]
        self._close_idle()
        refusals: list[Refusal] = []
        while works:
            self._open([work for work in works if not work.is_known], batch.group, until)
            self._require_right(works)
            outcomes = together(self._write_one, works)
            errors = [it for it in outcomes if isinstance(it, Exception)]
            if any(not isinstance(it, BeginAnewError) for it in errors):
                raise worst(self._judge(it) for it in errors)
            for told in outcomes:
                refusals += told if isinstance(told, list) else ()
            works = [work for work, it in zip(works, outcomes, strict=True) if isinstance(it, Exception)]
            if works:
                # It may be since a topic was deleted: the client says neither which, nor that another try
                # does not change that.
                self._topics.forget()
            if works and time.monotonic() > until:
                raise self._too_late(works, errors[-1])
        return refusals

    def _too_late(self, works: Sequence[_Work], last: Exception) -> Exception:
        if any(work.search.is_on for work in works):
            return SinkSlow(
                f"sink {self._settings.name!r}: it refuses records, and which they are was not found within "
                f"its timeout of {self._settings.timeout:g} s; they come in smaller batches",
                0,
            )
        return self._judge(last)

    def _judge(self, error: Exception) -> Exception:
        return judge(error, self._settings.name, self._settings.servers)

    def _refusals(self, refused: Mapping[Position, str], *, is_noted: bool = False) -> list[Refusal]:
        told = f"sink {self._settings.name!r} refuses it: "
        return [Refusal(at, SinkRefused(told + why), is_noted=is_noted) for at, why in refused.items()]

    # -- taking over -------------------------------------------------------------------------------

    def _open(self, works: Sequence[_Work], group: str, until: float) -> None:
        """Take over shards, and learn how far they are written.

        Raises:
            SinkFenced: a newer owner has written one of them.
            ClusterError: not in time.
        """
        if not works:
            return
        topic = self._topic_of(group)
        topic.ensure([work.shard.number for work in works], self._connected())
        with topic.looked_at() as reader:
            # First without taking anything: who is late must not disturb a newer owner.
            found = reader.newest({it.shard.number: None for it in works}, until)
            for it in works:
                number = it.shard.number
                require_newest(found[number], it.part.fencing_token, number, self._settings.name)
            left = list(works)
            while left:
                errors = self._claim(left, reader, until)
                is_over = time.monotonic() > until
                if any(is_over or not isinstance(it, BeginAnewError) for it in errors):
                    raise worst(self._judge(it) for it in errors)
                left = [it for it in left if not it.is_known]

    def _claim(self, works: Sequence[_Work], reader: PositionReader, until: float) -> list[Exception]:
        """Take over shards; returns what went wrong with some of them."""
        ends = together(lambda it: it.shard.take_over(until, alone=it.search.is_alone), works)
        taken = [(it, end) for it, end in zip(works, ends, strict=True) if isinstance(end, int)]
        try:
            found = reader.newest({it.shard.number: end for it, end in taken}, until)
        except BaseException:
            for it, _ in taken:
                it.shard.drop()
            raise
        name = self._settings.name
        claims = together(
            lambda it: it.shard.claim(found[it.shard.number], it.part.fencing_token, name),
            [it for it, _ in taken],
        )
        return [it for it in (*ends, *claims) if isinstance(it, Exception)]

    def _require_right(self, works: Sequence[_Work]) -> None:
        """Look at all shards before anything is written.

        Raises:
            SinkFenced: a newer owner has written one.
            SinkBehind: the cluster has less than it had taken.
        """
        behind: dict[tuple[str, int], int] = {}
        for work in works:
            if work.shard.standing is not None:
                require_newest(
                    work.shard.standing, work.part.fencing_token, work.shard.number, self._settings.name
                )
                behind |= work.part.behind(work.shard.standing)
        if behind:
            lost = ", ".join(f"{TopicPartition(*place)} from offset {at} on" for place, at in behind.items())
            raise SinkBehind(
                f"sink {self._settings.name!r}: {self._settings.servers} has lost what it had taken of "
                f"{lost} (older data, or an unclean election); these records are handled again",
                behind,
            )

    # -- writing -----------------------------------------------------------------------------------

    def _write_one(self, work: _Work) -> list[Refusal]:
        """Write what is not there of a shard, and return the records that are refused."""
        standing, part, search = work.shard.standing, work.part, work.search
        if standing is None:
            raise BeginAnewError("it was let go")
        records, refused = self._encoded(part.new(standing))
        refused |= {at: why[:_LONGEST_WHY] for at, why in search.refused.items()}
        if refused and work.stops_at_refusal:
            return self._refusals(refused)
        after = part.after(standing, refused)
        good = [(position, outputs) for position, outputs in records if position not in refused]
        self._topics.require(good, self._connected)
        if is_too_large(after):
            raise SinkSlow(
                f"sink {self._settings.name!r} refuses more records than can be noted at once; they come in "
                "smaller batches",
                0,
            )
        if good or after != standing:
            work.shard.commit(good, after, search)
        return self._refusals(part.told_again(standing), is_noted=True) + self._refusals(refused)

    def _encoded(self, records: Sequence[RecordWrites]) -> tuple[list[Made], dict[Position, str]]:
        made: list[Made] = []
        refused: dict[Position, str] = {}
        for record in records:
            try:
                outputs = [self._encoder.encode(write.value, write.message) for write in record.writes]
            except SinkRefused as error:
                refused[record.position] = str(error)[:_LONGEST_WHY]
            else:
                made.append((record.position, outputs))
        return made, refused

    # -- what is kept ------------------------------------------------------------------------------

    def _connected(self) -> TopicAdmin:
        with self._connecting:  # threads of shards ask for it
            if self._admin is None:
                timeout = min(self._settings.timeout, UNREACHABLE_AFTER_S)
                self._admin = TopicAdmin(self._settings.servers, self._settings.properties, timeout=timeout)
            return self._admin

    def _topic_of(self, group: str) -> PositionTopic:
        if group not in self._positions:
            self._positions[group] = PositionTopic(
                f"{self._settings.positions}.{group}", self._settings.servers, self._settings.properties
            )
        return self._positions[group]

    def _shard(self, group: str, number: int) -> Shard:
        if (group, number) not in self._shards:
            place = self._topic_of(group).place(number)
            self._shards[group, number] = Shard(self._cluster, f"{place.topic}.{number}", place)
        return self._shards[group, number]

    def _close_idle(self) -> None:
        since = time.monotonic() - _IDLE_S
        for shard in self._shards.values():
            if shard.used_at < since:
                shard.drop()
