"""A topology with the Python objects that it names, as frozen values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from holdfast.schema import Event
from holdfast.topology.model import LeaderTaskDecl, ProcessorDecl, ProducerDecl, TopicDecl, Topology
from holdfast.topology.sink_decls import SinkDecl


@dataclass(frozen=True)
class ResolvedTopic:
    """A topic with its event classes, in the order of the file."""

    decl: TopicDecl
    events: tuple[type[Event], ...]


@dataclass(frozen=True)
class ResolvedSink:
    """A sink with what it takes.

    Attributes:
        decl: the declaration.
        accepts: the classes that a handler may return for it.
        factory: the application's own class, if it brings one.
        client: what async handlers ask it with, if it can be asked.
        origin: where it is declared, for messages: `topology.yaml:5`.
    """

    decl: SinkDecl
    accepts: tuple[type, ...]
    factory: Callable[..., Any] | None = None
    client: type | None = None
    origin: str = "topology.yaml"


@dataclass(frozen=True)
class ResolvedProcessor:
    """A processor with its handler.

    Attributes:
        decl: the declaration.
        handler: the user's function.
        tables: the type of each table's values.
        reads: the input topics.
        writes: the output topics.
        sink: the downstream system that it writes to instead, if it has one.
        asks: the downstream systems that its handler asks, by name.
    """

    decl: ProcessorDecl
    handler: Callable[..., Any]
    tables: Mapping[str, Any]
    reads: tuple[ResolvedTopic, ...]
    writes: tuple[ResolvedTopic, ...]
    sink: ResolvedSink | None = None
    asks: Mapping[str, ResolvedSink] = field(default_factory=dict)


@dataclass(frozen=True)
class ResolvedProducer:
    """A producer with its source and the topics that it writes."""

    decl: ProducerDecl
    source: Callable[..., Any]
    writes: tuple[ResolvedTopic, ...]


@dataclass(frozen=True)
class ResolvedLeaderTask:
    """A leader task with its function and the topics that it writes."""

    decl: LeaderTaskDecl
    handler: Callable[..., Any]
    writes: tuple[ResolvedTopic, ...]


@dataclass(frozen=True)
class ResolvedTopology:
    """A topology with every object that it names, or those that were asked for.

    Attributes:
        topology: the declaration.
        topics: topics by name.
        processors: processors of Holdfast's engine by name.
        agents: the `faust.App` of each Faust processor by name.
        producers: producers by name.
        leader_tasks: leader tasks by name.
        checks: the functions that check invariants, by their reference.
    """

    topology: Topology
    topics: Mapping[str, ResolvedTopic]
    processors: Mapping[str, ResolvedProcessor]
    agents: Mapping[str, object]
    producers: Mapping[str, ResolvedProducer]
    leader_tasks: Mapping[str, ResolvedLeaderTask]
    checks: Mapping[str, Callable[..., Any]]
