"""From a declared processor to the plan that its shards share."""

from __future__ import annotations

from holdfast.engine.handler import inspect_handler
from holdfast.engine.outputs import Router
from holdfast.engine.shard import ProcessorPlan
from holdfast.schema import EventDecoder, TopicEncoder, ValueCodec
from holdfast.topology.resolved import ResolvedProcessor, ResolvedTopic

MAX_BYTES = 1_000_000
"""Largest record value where the topic does not set `max.message.bytes`; just below the broker's default."""


def build_plan(processor: ResolvedProcessor, *, app: str, dead_letter_topic: str) -> ProcessorPlan:
    """Prepare everything that the shards of `processor` share.

    Raises:
        HandlerError: the handler's signature cannot be served.
        SchemaError: an event class or table type is unusable.
    """
    decl = processor.decl
    return ProcessorPlan(
        name=decl.name,
        handler=inspect_handler(processor.handler),
        decoders={topic.decl.name: EventDecoder(topic.events) for topic in processor.reads},
        tables={name: ValueCodec(kind) for name, kind in processor.tables.items()},
        router=build_router(decl.name, processor.writes, app=app),
        dead_letter_topic=dead_letter_topic,
        on_error=decl.on_error,
        on_bad_record=decl.on_bad_record,
        cache_entries=decl.cache_entries,
        max_bytes=MAX_BYTES,
    )


def build_router(writer: str, topics: tuple[ResolvedTopic, ...], *, app: str) -> Router:
    """Prepare the routing for a processor or producer called `writer` that writes `topics`."""
    encoders = {
        topic.decl.name: TopicEncoder(
            topic.decl.name,
            topic.events,
            topic.decl.key,
            cloudevents=topic.decl.cloudevents,
            source=f"{app}.{writer}",
        )
        for topic in topics
    }
    return Router(writer, encoders, dict.fromkeys(encoders, MAX_BYTES))
