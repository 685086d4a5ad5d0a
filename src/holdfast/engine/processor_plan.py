"""What all shards of a processor share: its handler, its topics and tables, and its error policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from holdfast.engine.handler import HandlerSpec
from holdfast.engine.letter_limit import LetterLimit
from holdfast.engine.outputs import Router
from holdfast.engine.retries import RetryPolicy
from holdfast.engine.sink_writes import SinkWrites
from holdfast.engine.unit import Unit
from holdfast.schema import EventDecoder, ValueCodec

Policy = Literal["stop", "retry", "dead-letter", "park-key", "drop"]
"""What becomes of a record that failed. With "retry" its handler is called until it does not raise."""

STOPPING: Final = ("stop", "retry")
"""What keeps a shard at the record. Where "retry" comes to be judged no other attempt helps."""


@dataclass(frozen=True, slots=True)
class ProcessorPlan:
    """Everything about a processor that its shards share.

    Attributes:
        name: the processor's name.
        handler: its handler.
        decoders: for each input topic, its decoder.
        tables: for each table, the codec of its values.
        router: routes outputs to declared topics.
        sink: takes what the handler returns instead, if the processor writes to a sink.
        dead_letter_topic: where records go that are set aside.
        on_error: what to do when the handler raises.
        on_bad_record: what to do with a record that cannot be decoded.
        retry: when a handler that raised is called again before that.
        letter_limit: how many records may be set aside or dropped.
        max_bytes: the largest state value, with its key, that the changelog accepts.
        shadow: for each topic that it writes to, dead letters included, the topic that takes its place while
            this version of the processor is a shadow.
        redrive_topic: where dead letters are given back to it; None if it takes none.
        is_shadow: whether this version is one. It leaves redriven records to the one that is live.
    """

    name: str
    handler: HandlerSpec
    decoders: Mapping[str, EventDecoder]
    tables: Mapping[str, ValueCodec[Any]]
    router: Router
    dead_letter_topic: str
    on_error: Policy = "stop"
    on_bad_record: Policy = "dead-letter"
    retry: RetryPolicy | None = None
    letter_limit: LetterLimit | None = None
    max_bytes: int = 1_000_000
    shadow: Mapping[str, str] = field(default_factory=dict)
    sink: SinkWrites | None = None
    redrive_topic: str | None = None
    is_shadow: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """All topics that it reads."""
        return (*self.decoders, *((self.redrive_topic,) if self.redrive_topic else ()))

    @property
    def uses_fence(self) -> bool:
        """Whether somebody may use the fencing token: a handler that asks for its context, or a sink."""
        return self.handler.takes_context or self.has_writes

    @property
    def has_writes(self) -> bool:
        """Whether units hold writes: for a sink, or events that an async handler is still to handle."""
        return self.sink is not None or self.handler.is_async

    def results_of(self, unit: Unit) -> list[Any]:
        """Where a unit keeps what the handler returns."""
        return unit.writes if self.has_writes else unit.outputs

    def as_shadow(self) -> ProcessorPlan:
        """The same processor, whose outputs and dead letters go to its shadow topics."""
        return replace(
            self,
            router=self.router.redirected(self.shadow),
            dead_letter_topic=self.shadow[self.dead_letter_topic],
            is_shadow=True,
        )
