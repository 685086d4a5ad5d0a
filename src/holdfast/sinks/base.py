"""What a sink is.

A sink gets batches: what the handler made of some records, in the order of each partition, and where the
inputs stand before and after it. It writes a batch before the positions are committed on Kafka. If that
commit does not come about, the same records come again, mostly in other batches. A sink that can keeps the
positions itself, in one transaction with the writes, and leaves out what it has already: exactly-once. One
that cannot has to be idempotent, or is at-least-once.

One batch at a time, on any thread. One may be written by a worker that does not own its shards any more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from holdfast.downstream import Client
from holdfast.record import Position, TopicPartition, Write
from holdfast.resilience import CircuitBreaker


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkBatch:
    """What is to be written in one go.

    Attributes:
        group: the processor's consumer group; the positions are its.
        writes: in the order of each partition. Those of one record stand together.
        begins: for each partition, the offset of the first record that may be among these: everything below
            is committed on Kafka.
        ends: for each partition, the offset after the last record. Records may have made no writes.
        fences: for each partition, the fencing token of the shard's owner; a later owner has a larger one.
        topic_ids: for each input, its id: a topic that is deleted and created again has another one.
        stops_at_refusal: whether a refused record stops its shard, instead of being set aside. It comes again
            when its cause is mended, and has to be written then as if it had never come: a sink that keeps
            positions writes nothing of a partition from the first record on that it refuses there, and keeps
            no note of that. It may just as well write nothing of the whole batch.
    """

    group: str
    writes: Sequence[Write] = ()
    begins: Mapping[TopicPartition, int] = field(default_factory=dict)
    ends: Mapping[TopicPartition, int] = field(default_factory=dict)
    fences: Mapping[TopicPartition, int] = field(default_factory=dict)
    topic_ids: Mapping[str, str | None] = field(default_factory=dict)
    stops_at_refusal: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record of which nothing was written, since the sink refuses what was made of it.

    Attributes:
        position: the record.
        error: why; a sink's own is a `SinkRefused`.
        attempts: how often its handler was called for it.
        is_noted: whether it was refused before, and the sink has written what follows it by now. Then it is
            set aside also where a refusal would stop its shard.
    """

    position: Position
    error: Exception
    attempts: int = 1
    is_noted: bool = False


class Downstream(ABC):
    """A system that async handlers ask.

    Used on one event loop, which is not the worker's own thread.

    Attributes:
        client: the class that handlers ask it with.
        concurrent: how many records may ask at once.
        breaker: counts single calls, if it has one; with None a batch of records counts as one call.
    """

    client: ClassVar[type[Client]]
    concurrent: int = 32
    breaker: CircuitBreaker | None = None

    @abstractmethod
    def client_for(self, identity: str) -> Client:
        """Return what the handler asks with for one record.

        Its calls end in time. They raise `SinkDown` when the system does not answer: the record comes again
        when it is tried the next time.

        Args:
            identity: of the record, in the whole cluster; the same whenever it is handled again.
        """

    async def close(self) -> None:  # noqa: B027 - a system without connections needs none
        """Let go of connections."""


class Sink(ABC):
    """A downstream system.

    Attributes:
        accepts: the classes that a handler may return for it.
        keeps_positions: whether it compares `begins` with positions of its own, and raises `SinkBehind` if it
            is behind them. It is given batches without writes as well then: those whose records made none.
        can_stop: whether it does what `SinkBatch.stops_at_refusal` says, which is nothing for one that keeps
            no positions. Without it `on_refused: stop` cannot be declared.
        breaker: counts the calls that a batch is made of, for a sink that makes many; with None a batch is
            one call, and counted by whoever writes it.
    """

    accepts: ClassVar[tuple[type, ...]]
    keeps_positions: ClassVar[bool] = False
    can_stop: ClassVar[bool] = False
    breaker: CircuitBreaker | None = None

    @abstractmethod
    def write(self, batch: SinkBatch) -> Sequence[Refusal]:
        """Write a batch. When this returns, all of it is durable but what it names.

        Returns:
            The records that it refuses, each once; they become dead letters. All others are written, unless
            the batch `stops_at_refusal`: then one of each partition is enough, the first.

        Raises:
            SinkDown: it does not answer. The records come again when it is tried the next time.
            SinkFenced: a newer owner of one of the shards has written to it.
            SinkBehind: it has lost what it had taken; nothing of this batch is written. What it lost comes
                again before anything else does.
            SinkError: it cannot be written to as it is declared; the worker ends with that text.
        """

    def close(self) -> None:  # noqa: B027 - a sink without connections needs none
        """Let go of connections. Not called while a batch is written."""
