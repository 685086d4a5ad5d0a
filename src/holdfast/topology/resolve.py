"""A topology with its Python objects: event classes, handlers, table types, sources, checks.

Only the command line and the workers resolve; loading a file imports nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeGuard

from holdfast.declaration.source import Location, Problem, did_you_mean
from holdfast.errors import HoldfastError, SchemaError, TopologyError, TopologyErrors
from holdfast.schema import KEY_TYPES, Event, check_event_class, check_value_type, may_be_key
from holdfast.topology.load import DEFAULT_FILE, Draft, read
from holdfast.topology.mend import covers
from holdfast.topology.model import FaustDecl, ProcessorDecl, TopicDecl, Topology
from holdfast.topology.option_check import option_problems
from holdfast.topology.references import BrokenModuleError, References
from holdfast.topology.resolved import (
    ResolvedLeaderTask,
    ResolvedProcessor,
    ResolvedProducer,
    ResolvedSink,
    ResolvedTopic,
    ResolvedTopology,
)
from holdfast.topology.sink_decls import CustomSinkDecl, SinkDecl

_PLAIN_TYPES: Mapping[str, type] = {
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "Decimal": Decimal,
    "datetime": datetime,
}


HandlerCheck = Callable[[ResolvedProcessor | ResolvedLeaderTask], Iterable[str | Problem]]
"""Says what is wrong with a function for its processor, or its leader task: one text each, a `Problem` where
it is elsewhere in the file, or one raised `HoldfastError`."""

PropertyCheck = Callable[[Mapping[str, str]], object]
"""Raises a `HoldfastError` if a client property cannot be used; gets them one by one."""

SinkCheck = Callable[[SinkDecl], Iterable[tuple[Location, str]]]
"""Says what is wrong with a sink that only its client or the environment knows: where, below it, and what."""


def resolve(
    topology: Topology, check_handler: HandlerCheck | None = None, *, only: Collection[str] | None = None
) -> ResolvedTopology:
    """Import what a topology names, and check that it fits.

    Args:
        topology: a declaration without mistakes.
        check_handler: checks a handler's signature; this package does not know the engine.
        only: parts to resolve, named as in the file (`processors.spending`, `topics.orders`,
            `producers.orders`, `leader_tasks`, `checks`), with the topics that they read and write; all
            unless given.

    Raises:
        TopologyErrors: names that do not exist, modules that fail, objects that do not fit; all at once.
        TopologyError: `only` names something that is not declared.
    """
    resolver = _Resolver(topology, check_handler)
    resolved = resolver.run(_select(topology, only))
    if resolver.problems:
        raise TopologyErrors(topology.source.report(resolver.problems))
    return resolved


def check_file(
    path: Path = DEFAULT_FILE,
    check_handler: HandlerCheck | None = None,
    check_kafka: PropertyCheck | None = None,
    check_sink: SinkCheck | None = None,
    *,
    running: Collection[str] | None = None,
) -> ResolvedTopology:
    """Read a file and resolve it; mistakes in the file and in what it names are in one report.

    Args:
        path: the file.
        check_handler: checks a handler's signature.
        check_kafka: checks client properties.
        check_sink: checks a sink.
        running: processors that are going to run (all of them when empty): only their sinks are given to
            `check_sink`; all sinks unless given.

    Raises:
        TopologyErrors: all that is wrong.
    """
    draft = read(path)
    problems = list(draft.problems)
    resolved = None
    if draft.topology is not None:
        resolver = _Resolver(draft.topology, check_handler, _entries_in(problems), draft.mended)
        resolved = resolver.run(draft.topology)
        problems += [*resolver.problems, *_refused(draft.topology.kafka, check_kafka)]
        problems += _of_sinks(draft, check_sink, running)
    if problems or resolved is None:
        raise TopologyErrors(draft.source.report(problems))
    return resolved


def _entries_in(problems: Iterable[Problem]) -> frozenset[Location]:
    """Return the entries whose declarations have mistakes."""
    return frozenset(problem.at[:2] for problem in problems if len(problem.at) > 1)


def _refused(kafka: Mapping[str, str], check: PropertyCheck | None) -> Iterator[Problem]:
    if check is None:
        return
    for name, value in kafka.items():
        try:
            check({name: value})
        except HoldfastError as error:
            yield Problem(("kafka", name), str(error))


def _of_sinks(draft: Draft, check: SinkCheck | None, running: Collection[str] | None) -> Iterator[Problem]:
    if check is None or draft.topology is None:
        return
    used = None if running is None else _sinks_of(draft.topology, running)
    for name, decl in draft.topology.sinks.items():
        if used is not None and name not in used:
            continue
        for at, text in check(decl):
            if not covers(draft.mended, ("sinks", name, *at)):
                yield Problem(("sinks", name, *at), text)


def _sinks_of(topology: Topology, processors: Collection[str]) -> frozenset[str]:
    """The sinks that these processors write to or ask; those of all processors when there are none."""
    chosen = (by for name, by in topology.native.items() if not processors or name in processors)
    return frozenset(name for by in chosen for name in by.downstreams)


def _select(topology: Topology, only: Collection[str] | None) -> Topology:
    """Return the topology with the named parts alone."""
    if only is None:
        return topology
    named = [part.partition(".")[::2] for part in only]
    processors = {name: topology.processor(name) for section, name in named if section == "processors"}
    producers = {name: topology.producer(name) for section, name in named if section == "producers"}
    topics = [name for section, name in named if section == "topics"]
    topics += [topic for by in processors.values() for topic in (*by.reads, *by.writes)]
    tasks = topology.leader_tasks if "leader_tasks" in only else {}
    topics += [topic for by in producers.values() for topic in by.writes]
    topics += [topic for by in tasks.values() for topic in by.writes]
    native = [by for by in processors.values() if isinstance(by, ProcessorDecl)]
    sinks = {name for by in native for name in (*by.asks, by.sink) if name}
    parts = {
        "topics": {name: topology.topic(name) for name in topics},
        "processors": processors,
        "sinks": {name: topology.sink(name) for name in sinks},
        "producers": producers,
        "leader_tasks": tasks,
        "checks": topology.checks if "checks" in only else (),
    }
    return topology.model_copy(update=parts)


class _Resolver:
    """Resolves one topology and gathers problems on the way."""

    def __init__(
        self,
        topology: Topology,
        check_handler: HandlerCheck | None,
        mistaken: Collection[Location] = (),
        mended: Collection[Location] = (),
    ) -> None:
        self._topology = topology
        self._mended = mended
        self._mistaken = mistaken
        self._check_handler = check_handler
        self._references = References(topology.folder)
        self._told: set[str] = set()
        self.problems: list[Problem] = []

    def run(self, parts: Topology) -> ResolvedTopology:
        """Resolve `parts`; what has problems is left out."""
        topics = dict(self._topics(parts))
        sinks = dict(self._sinks(parts))
        return ResolvedTopology(
            topology=self._topology,
            topics=topics,
            processors=dict(self._processors(parts, topics, sinks)),
            agents=dict(self._agents(parts)),
            producers=dict(self._producers(parts, topics)),
            leader_tasks=dict(self._leader_tasks(parts, topics)),
            checks=dict(self._checks(parts)),
        )

    def _topics(self, parts: Topology) -> Iterator[tuple[str, ResolvedTopic]]:
        for name, decl in parts.topics.items():
            found = [self._event(decl, index) for index in range(len(decl.events))]
            events = tuple(event for event in found if event is not None)
            if len(events) == len(decl.events):
                yield name, ResolvedTopic(decl, events)
                self._distinct(decl, events)

    def _event(self, decl: TopicDecl, index: int) -> type[Event] | None:
        at = ("topics", decl.name, "events", index)
        found: Any = self._find(at, decl.events[index])
        if found is None:
            return None
        try:
            check_event_class(found)
        except SchemaError as error:
            self._wrong(at, f'"{decl.events[index]}": {error}')
            return None
        event: type[Event] = found
        self._has_key(decl, event)
        return event

    def _has_key(self, decl: TopicDecl, event: type[Event]) -> None:
        kinds: dict[str, Any] = {name: it.annotation for name, it in event.model_fields.items()}
        kinds |= {name: it.return_type for name, it in event.model_computed_fields.items()}
        at = ("topics", decl.name, "key")
        if decl.key is None:
            return
        if decl.key not in kinds:
            near = did_you_mean(decl.key, kinds)
            text = f'{event.__name__} has no field "{decl.key}"{near} (fields: {", ".join(kinds) or "none"})'
            self._wrong(at, text)
        elif not may_be_key(kinds[decl.key]):
            self._wrong(
                at, f'"{decl.key}" of {event.__name__} is of a type that cannot be a key; use {KEY_TYPES}'
            )

    def _distinct(self, decl: TopicDecl, events: tuple[type[Event], ...]) -> None:
        """Readers tell a topic's events apart by their names."""
        first: dict[str, str] = {}
        for reference, event in zip(decl.events, events, strict=True):
            name = event.__event_name__
            if name in first:
                at = ("topics", decl.name, "events", decl.events.index(reference))
                text = f'"{reference}" has the event name "{name}", which is that of "{first[name]}" already'
                self._wrong(at, text)
            first.setdefault(name, reference)

    def _processors(
        self, parts: Topology, topics: Mapping[str, ResolvedTopic], sinks: Mapping[str, ResolvedSink]
    ) -> Iterator[tuple[str, ResolvedProcessor]]:
        for name, decl in parts.native.items():
            at: Location = ("processors", name)
            handler = self._callable((*at, "handler"), decl.handler)
            tables = {table: self._table((*at, "tables", table), kind) for table, kind in decl.tables.items()}
            known = all(topic in topics for topic in (*decl.reads, *decl.writes))
            known = known and all(name in sinks for name in (*decl.asks, decl.sink) if name)
            if handler is None or None in tables.values() or not known:
                continue
            reads = tuple(topics[topic] for topic in decl.reads)
            writes = tuple(topics[topic] for topic in decl.writes)
            asks = {sink: sinks[sink] for sink in decl.asks}
            self._stopping((*at, "on_refused"), decl, sinks)
            processor = ResolvedProcessor(
                decl, handler, tables, reads, writes, sinks.get(decl.sink or ""), asks
            )
            self._signature((*at, "handler"), processor)
            yield name, processor

    def _stopping(self, at: Location, decl: ProcessorDecl, sinks: Mapping[str, ResolvedSink]) -> None:
        """A sink of the application's own that goes on behind a refused record would lose it."""
        if decl.sink is None or decl.on_refused != "stop":
            return
        sink = sinks[decl.sink]
        if isinstance(sink.decl, CustomSinkDecl) and not getattr(sink.factory, "can_stop", False):
            text = (
                f'"{sink.decl.sink}" does not say that it can stop at a refused record: see '
                "`SinkBatch.stops_at_refusal`, and set `can_stop = True` in it when it does that"
            )
            self._wrong(at, text)

    def _sinks(self, parts: Topology) -> Iterator[tuple[str, ResolvedSink]]:
        source = self._topology.source
        for name, decl in parts.sinks.items():
            origin = f"{source.path}:{source.line(('sinks', name))}"
            if not isinstance(decl, CustomSinkDecl):
                found = [self._references.find(reference) for reference in decl.accepts]
                accepts = tuple(it for it in found if isinstance(it, type))
                client = self._references.find(decl.client) if decl.client else None
                kind = client if isinstance(client, type) else None
                yield name, ResolvedSink(decl, accepts, None, kind, origin)
                continue
            at = ("sinks", name, "sink")
            factory = self._callable(at, decl.sink)
            if factory is not None and not covers(self._mended, ("sinks", name, "options")):
                self.problems += option_problems(("sinks", name, "options"), decl, factory)
            accepts, client = getattr(factory, "accepts", ()), getattr(factory, "client", None)
            if factory is not None and (_are_classes(accepts) or isinstance(client, type)):
                own = accepts if _are_classes(accepts) else ()
                kind = client if isinstance(client, type) else None
                yield name, ResolvedSink(decl, own, factory, kind, origin)
            elif factory is not None:
                text = (
                    f'"{decl.sink}" has no `accepts` (a tuple of the classes that handlers return for it), '
                    "and no `client` (the class that they ask it with)"
                )
                self._wrong(at, text)

    def _leader_tasks(
        self, parts: Topology, topics: Mapping[str, ResolvedTopic]
    ) -> Iterator[tuple[str, ResolvedLeaderTask]]:
        for name, decl in parts.leader_tasks.items():
            at: Location = ("leader_tasks", name, "task")
            function = self._callable(at, decl.task)
            if function is not None and all(topic in topics for topic in decl.writes):
                task = ResolvedLeaderTask(decl, function, tuple(topics[topic] for topic in decl.writes))
                self._signature(at, task)
                yield name, task

    def _signature(self, at: Location, resolved: ResolvedProcessor | ResolvedLeaderTask) -> None:
        """Check the function; not against a declaration that has mistakes and may lack a table."""
        if self._check_handler is None or at[:2] in self._mistaken:
            return
        try:
            for found in self._check_handler(resolved):
                if isinstance(found, Problem):
                    self.problems.append(found)
                else:
                    self._wrong(at, found)
        except HoldfastError as error:
            self._wrong(at, str(error))

    def _table(self, at: Location, kind: str) -> Any:
        found = _PLAIN_TYPES.get(kind) or self._find(at, kind)
        if found is None:
            return None
        try:
            check_value_type(found)
        except SchemaError as error:
            self._wrong(at, f'"{kind}": {error}')
            return None
        return found

    def _agents(self, parts: Topology) -> Iterator[tuple[str, object]]:
        for name, decl in parts.processors.items():
            if isinstance(decl, FaustDecl):
                at = ("processors", name, "agent")
                app = self._find(at, decl.agent)
                if app is not None and not _is_faust_app(app):
                    self._wrong(at, f'"{decl.agent}" is no faust.App but {_kind(app)}')
                yield name, app

    def _producers(
        self, parts: Topology, topics: Mapping[str, ResolvedTopic]
    ) -> Iterator[tuple[str, ResolvedProducer]]:
        for name, decl in parts.producers.items():
            source = self._callable(("producers", name, "source"), decl.source)
            if source is not None and all(topic in topics for topic in decl.writes):
                yield name, ResolvedProducer(decl, source, tuple(topics[topic] for topic in decl.writes))

    def _checks(self, parts: Topology) -> Iterator[tuple[str, Callable[..., Any]]]:
        for index, reference in enumerate(parts.checks):
            check = self._callable(("checks", index), reference)
            if check is not None:
                yield reference, check

    def _callable(self, at: Location, reference: str) -> Callable[..., Any] | None:
        found = self._find(at, reference)
        if callable(found):
            return found
        if found is not None:
            self._wrong(at, f'"{reference}" is not a function but {_kind(found)}')
        return None

    def _find(self, at: Location, reference: str) -> object | None:
        """Return the object, or None after noting a problem; None where the file itself has one."""
        if covers(self._mended, at):
            return None
        try:
            found = self._references.find(reference)
        except TopologyError as error:
            # A module that fails may be named many times; its one cause is told once.
            if not (isinstance(error, BrokenModuleError) and str(error) in self._told):
                self._wrong(at, str(error))
            self._told.add(str(error))
            return None
        if found is None:
            self._wrong(at, f'"{reference}" is None')
        return found

    def _wrong(self, at: Location, text: str) -> None:
        self.problems.append(Problem(at, text))


def _is_faust_app(app: object) -> bool:
    """Tell a `faust.App` without importing Faust, which is optional."""
    return any(kind.__name__ == "App" and kind.__module__.startswith("faust.") for kind in type(app).__mro__)


def _are_classes(accepts: object) -> TypeGuard[tuple[type, ...]]:
    return isinstance(accepts, tuple) and bool(accepts) and all(isinstance(it, type) for it in accepts)


def _kind(found: object) -> str:
    return (
        f"the class {found.__name__}"
        if isinstance(found, type)
        else f"a value of type {type(found).__name__}"
    )
