"""From a resolved declaration to what the engine runs, and what can be wrong between the two."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from holdfast.declaration.source import Problem
from holdfast.engine.column_check import column_problems
from holdfast.engine.handler import HandlerSpec, inspect_handler
from holdfast.engine.leader_task import TaskSpec, inspect_task
from holdfast.engine.letter_limit import LetterLimit
from holdfast.engine.outputs import Router, WriterKind
from holdfast.engine.processor_plan import ProcessorPlan
from holdfast.engine.retries import RetryPolicy
from holdfast.engine.returns import promised, returned
from holdfast.engine.sink_writes import SinkWrites
from holdfast.resilience import Backoff, RetryBudget
from holdfast.schema import Event, EventDecoder, TopicEncoder, ValueCodec
from holdfast.topology.error_decls import RetryDecl
from holdfast.topology.model import MAX_BYTES, ProcessorDecl
from holdfast.topology.resolved import ResolvedLeaderTask, ResolvedProcessor, ResolvedSink, ResolvedTopic
from holdfast.topology.sink_decls import ACCEPTED, ParquetSinkDecl

RECORD_BYTES = 1_000_000
"""The largest value written where a topic does not set `max.message.bytes`: the client's default."""

DEFAULT_ATTEMPTS: Final = 3
"""Attempts of a processor that declares `retry` without a number."""

_OVERHEAD = 1_024
"""Room for key, headers and batch framing below a topic's `max.message.bytes`."""


def plan_processor(
    resolved: ResolvedProcessor,
    app: str,
    dead_letter_topic: str,
    clock: Callable[[], float],
    redrive_topic: str | None = None,
) -> ProcessorPlan:
    """What the shards of a processor share.

    Args:
        resolved: the processor; `check_handler` finds nothing wrong with it.
        app: the application's name, the `ce_source` of what it writes.
        dead_letter_topic: where records go that are set aside.
        clock: seconds that never go back, for records that are tried again.
        redrive_topic: where they are given back, to a processor that takes them.

    Raises:
        HandlerError: the handler's signature cannot be served.
        SchemaError: an event class or a table's type cannot be used.
    """
    decl = resolved.decl
    return ProcessorPlan(
        name=decl.name,
        handler=inspect_handler(resolved.handler),
        decoders={topic.decl.name: EventDecoder(topic.events) for topic in resolved.reads},
        redrive_topic=redrive_topic if decl.takes_redriven else None,
        tables={name: ValueCodec(type_) for name, type_ in resolved.tables.items()},
        router=writing_router(decl.name, resolved.writes, app),
        dead_letter_topic=dead_letter_topic,
        on_error=decl.on_error,
        on_bad_record=decl.on_bad_record,
        retry=_retry_policy(decl, clock),
        letter_limit=LetterLimit(decl.letter_limit.share, decl.letter_limit.of, decl.letter_limit.in_a_row),
        max_bytes=RECORD_BYTES,
        shadow={topic: decl.shadow(topic) for topic in (*decl.writes, dead_letter_topic)},
        sink=SinkWrites(decl.name, sink.decl.name, sink.accepts) if (sink := resolved.sink) else None,
    )


def _retry_policy(decl: ProcessorDecl, clock: Callable[[], float]) -> RetryPolicy | None:
    """When a processor's handler is called again; one for all shards of a worker, which share its budget."""
    is_endless = decl.on_error == "retry"
    if decl.retry is None and not is_endless:
        return None
    retry = decl.retry or RetryDecl.model_validate({})
    return RetryPolicy(
        attempts=None if is_endless else retry.attempts or DEFAULT_ATTEMPTS,
        backoff=Backoff(retry.first_wait_ms / 1000, retry.longest_wait_ms / 1000),
        # A shard tries one record at a time, but each that fails holds up those behind it.
        budget=None if is_endless else RetryBudget(ratio=0.0, clock=clock),
        clock=clock,
    )


def writing_router(
    name: str, writes: Iterable[ResolvedTopic], app: str, *, kind: WriterKind = "processor"
) -> Router:
    """The way from events to outputs for the topics that a part of the application declares.

    Args:
        name: the part's name, for messages.
        writes: the topics that it may write to.
        app: the application's name, the `ce_source` of what it writes.
        kind: what it is.

    Raises:
        SchemaError: an event class cannot be used.
    """
    topics = tuple(writes)
    encoders = {topic.decl.name: _encoder(topic, app) for topic in topics}
    limits = {topic.decl.name: _limit(topic) for topic in topics}
    return Router(name, encoders, limits, kind=kind)


def check_handler(resolved: ResolvedProcessor | ResolvedLeaderTask) -> Iterator[str | Problem]:
    """Say what is wrong between the signature of a handler, or of a leader task, and its declaration.

    What is wrong with its sink for it is located there.

    Raises:
        HandlerError: the signature cannot be served whatever is declared.
    """
    if isinstance(resolved, ResolvedLeaderTask):
        yield from _outputs(inspect_task(resolved.handler), resolved)
        return
    spec = inspect_handler(resolved.handler)
    yield from _events(spec, resolved)
    yield from _tables(spec, resolved)
    yield from _clients(spec, resolved)
    if resolved.sink is not None:
        yield from _writes(spec, resolved.sink)
    else:
        yield from _outputs(spec, resolved)
        yield from _without_sink(spec, resolved)


def _tables(spec: HandlerSpec, resolved: ResolvedProcessor) -> Iterator[str]:
    for table in spec.tables:
        if table not in resolved.tables:
            declared = ", ".join(resolved.tables) or "none"
            yield f"{spec.name} asks for table {table!r}, which is not declared (`tables` has: {declared})"
    for table in resolved.tables:
        if table not in spec.tables:
            yield f"table {table!r} is declared, but {spec.name} has no parameter `{table}: State[...]`"
    for parameter in spec.parameters:
        declared_type = resolved.tables.get(parameter.name)
        if parameter.kind == "state" and parameter.value_type not in (None, declared_type) and declared_type:
            yield (
                f"table {parameter.name!r} holds {_name(declared_type)}, but {spec.name} takes it as "
                f"State[{_name(parameter.value_type)}]"
            )


def _clients(spec: HandlerSpec, resolved: ResolvedProcessor) -> Iterator[str]:
    asked = {each.name: each.value_type for each in spec.parameters if each.kind == "client"}
    for name, kind in asked.items():
        if name not in resolved.asks:
            declared = ", ".join(resolved.asks) or "nothing"
            yield f"{spec.name} asks {name!r}, which is not declared (`asks` has: {declared})"
        elif (given := resolved.asks[name].client) is not None and not issubclass(given, kind):
            yield f"{spec.name} takes {name!r} as {_name(kind)}, but its client is a {_name(given)}"
    for name, sink in resolved.asks.items():
        if sink.client is None:
            yield f"sink {name!r} can be written to, but not asked"
        elif name not in asked:
            needed = f"{name}: {_name(sink.client)}"
            yield f"{name!r} is declared in `asks`, but {spec.name} has no parameter `{needed}`"
    if spec.is_async and not resolved.asks:
        yield f"{spec.name} is async: it asks something. Name that under `sinks`, and in `asks`"


def _events(spec: HandlerSpec, resolved: ResolvedProcessor) -> Iterator[str]:
    read = {event: topic.decl.name for topic in resolved.reads for event in topic.events}
    for event, topic in read.items():
        if not issubclass(event, spec.events):
            yield (
                f"{spec.name} does not accept {event.__name__}, which topic {topic!r} carries; add it to the "
                "annotation of the first parameter, and return nothing for it if it does not matter"
            )
    for event in spec.events:
        if not any(issubclass(each, event) for each in read):
            yield f"{spec.name} accepts {event.__name__}, which none of its `reads` carries"


def _outputs(spec: HandlerSpec | TaskSpec, resolved: ResolvedProcessor | ResolvedLeaderTask) -> Iterator[str]:
    """Say what the router would refuse of the events that the return annotation names."""
    for event, addressed in dict.fromkeys(promised(spec.returns)):
        takers = [topic.decl.name for topic in resolved.writes if event in topic.events]
        if not any(issubclass(each, event) for topic in resolved.writes for each in topic.events):
            declared = ", ".join(resolved.decl.writes) or "none"
            yield (
                f"{spec.name} returns {event.__name__}, which no topic of its `writes` carries "
                f"(declared: {declared}); add a topic that carries it, or take it out of the annotation"
            )
        elif len(takers) > 1 and not addressed:
            yield (
                f"{spec.name} returns {event.__name__}, which topics {' and '.join(takers)} of its `writes` "
                f"carry; return To(topic, event) to choose, annotated To[{event.__name__}]"
            )


def _writes(spec: HandlerSpec, sink: ResolvedSink) -> Iterator[str | Problem]:
    """Say what the sink would not take of that which the return annotation names."""
    if not sink.accepts:
        yield f"sink {sink.decl.name!r} can be asked, but not written to"
        return
    kinds = list(dict.fromkeys(returned(spec.returns)))
    if isinstance(sink.decl, ParquetSinkDecl):
        yield from column_problems(spec.name, kinds, sink.decl)
    for kind in kinds:
        if not issubclass(kind, sink.accepts) and not any(issubclass(it, kind) for it in sink.accepts):
            names = ", ".join(map(_name, sink.accepts))
            yield f"{spec.name} returns {_name(kind)}, which sink {sink.decl.name!r} does not take ({names})"


def _without_sink(spec: HandlerSpec, resolved: ResolvedProcessor) -> Iterator[Problem]:
    """Say what the return annotation names that only a sink takes; an event may go to topics as well."""
    for kind in dict.fromkeys(returned(spec.returns)):
        takers = [] if issubclass(kind, Event) else _types_that_take(kind)
        if takers:
            text = (
                f"missing: {spec.name} returns {_name(kind)}, which only a sink takes; name one of type "
                f"{' or '.join(takers)}, declared under `sinks`"
            )
            yield Problem(("processors", resolved.decl.name, "sink"), text)


def _types_that_take(kind: type) -> list[str]:
    """The types of sinks that take instances of a class."""
    names = {f"{base.__module__}:{base.__qualname__}" for base in kind.__mro__}
    return [type_ for type_, accepts in ACCEPTED.items() if not names.isdisjoint(accepts)]


def _encoder(topic: ResolvedTopic, app: str) -> TopicEncoder:
    decl = topic.decl
    return TopicEncoder(decl.name, topic.events, decl.key, cloudevents=decl.cloudevents, source=app)


def _limit(topic: ResolvedTopic) -> int:
    declared = topic.decl.config.get(MAX_BYTES)
    return RECORD_BYTES if declared is None else int(declared) - _OVERHEAD


def _name(type_: object) -> str:
    return getattr(type_, "__name__", str(type_))
