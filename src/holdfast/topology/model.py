"""The declaration of an application: what `topology.yaml` says, as frozen values.

The text under each field is its reference documentation. Durations are held in
milliseconds. Names that Holdfast derives (groups, changelogs, dead letters) are
properties here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import Discriminator, Field, StrictBool, Tag, model_validator

from holdfast.declaration.base import Declared
from holdfast.declaration.source import Source, did_you_mean
from holdfast.errors import TopologyError
from holdfast.topology.declared import APP, NAME
from holdfast.topology.error_decls import LetterLimitDecl, RetryDecl
from holdfast.topology.fields import (
    UNVERSIONED,
    AppName,
    ClientName,
    CommitInterval,
    ConfigValue,
    Count,
    Cron,
    FieldName,
    Guarantee,
    Interval,
    Name,
    OnBadRecord,
    OnError,
    OnRefused,
    Reference,
    Replication,
    SessionTimeout,
    Standbys,
    Start,
    TableName,
    TableType,
    TimeZone,
    TopicName,
    Version,
)
from holdfast.topology.sink_decls import SinkDecl
from holdfast.topology.spec import TopicSpec, durable

T = TypeVar("T")

MAX_BYTES = "max.message.bytes"
BROKER_MAX_BYTES = 1_048_588
"""Kafka's default for the largest batch of a topic."""
DEAD_LETTER_PARTITIONS = 8
CAUSE_BYTES = 65_536
"""Room in a dead letter, beside the raw record, for its cause and origin."""

PARKED_KEYS: Final = "parked-keys"
"""The table of a processor's parked keys. No table of a handler can be called so: it is no name in Python."""

LEADER = "leader"
"""What candidates are called beside processors: in slots, logs and on the command line."""

# Small segments are compacted soon: who begins to follow such a topic reads the whole of it first.
_SMALL_SEGMENT_BYTES = 4 * 1024 * 1024


class TopicDecl(Declared):
    """One topic of the application."""

    name: str = Field(alias="<name>")
    """The topic's name on the cluster: its key in the file."""

    events: tuple[Reference, ...] = Field(min_length=1)
    """Event classes of the topic's records (`module:name`).

    A topic with one class may write `event: module:name`.
    """

    key: FieldName | None = None
    """The field of every event that becomes the record's key; without it, records have no key."""

    partitions: Count
    """How many partitions the topic has.

    It cannot be changed later without moving keys to other partitions.
    """

    replication: Replication = 3
    """On how many brokers each partition is kept."""

    config: Mapping[str, ConfigValue] = {}
    """Topic settings of Kafka, such as `retention.ms`. The cluster must hold these values."""

    cloudevents: StrictBool = False
    """Also write CloudEvents' headers ce_specversion, ce_id, ce_source and content-type."""

    @model_validator(mode="before")
    @classmethod
    def _one_event(cls, data: Any) -> Any:
        if isinstance(data, dict) and "event" in data and "events" not in data:
            rest = {key: value for key, value in data.items() if key != "event"}
            return {**rest, "events": [data["event"]]}
        return data


class GroupDecl(Declared):
    """What every reading part of the application has, whatever runs it."""

    app: str = Field(alias="<app>")
    """The application's name."""

    name: str = Field(alias="<name>")
    """The processor's name: its key in the file."""

    reads: tuple[TopicName, ...] = Field(min_length=1)
    """Input topics.

    All have the same number of partitions, so that a key is in the same partition of each.
    """

    writes: tuple[TopicName, ...] = ()
    """Output topics: the only ones that the handler may write to."""

    workers: Count = 1
    """How many worker processes `holdfast run` starts."""

    @property
    def full_name(self) -> str:
        """What starts the names of all that belongs to it: its name, with its version if it has one."""
        return self.name

    @property
    def group_id(self) -> str:
        """Name of the consumer group."""
        return f"{self.app}.{self.full_name}"

    def slot_id(self, slot: str) -> str:
        """Return the `transactional.id` and `group.instance.id` of the worker in `slot`."""
        return f"{self.group_id}.{slot}"


class ProcessorDecl(GroupDecl):
    """A handler with its inputs, state tables and outputs, run by Holdfast's own engine."""

    runtime: Literal["holdfast"] = "holdfast"
    """What runs the processor."""

    handler: Reference
    """The function that is called for every event (`module:name`)."""

    version: Version | None = None
    """Which version of the processor this is.

    Its group, changelogs and local state have names of their own, so that two versions can be beside each
    other. See the page on replay.
    """

    tables: Mapping[TableName, TableType] = {}
    """State by key: each table's name and the type of its values.

    The type is `module:name` or one of int, float, str, bool, Decimal, datetime.
    """

    sink: Name | None = None
    """The downstream system that everything goes to which the handler returns: a name under `sinks`.

    Such a processor has neither `tables` nor `writes`.
    """

    asks: tuple[ClientName, ...] = ()
    """The downstream systems that the handler asks: names under `sinks`, and of its parameters.

    The handler of such a processor is async, and has no `tables`.
    """

    start: Start = "earliest"
    """Where a new group begins to read: at the first record that is kept, or after the last."""

    commit_interval_ms: CommitInterval = Field(100, alias="commit_interval")
    """How often outputs, state and positions are committed together; at most 5s.

    Longer is faster, shorter is sooner visible.
    """

    guarantee: Guarantee = "exactly-once"
    """What holds after a failure.

    exactly-once commits in Kafka transactions; at-least-once may repeat outputs and state changes.
    """

    on_error: OnError = "stop"
    """When the handler raises: what becomes of the record.

    stop ends the shard there; retry calls the handler again until it does not raise; dead-letter sets the
    record aside and goes on; park-key does so with all later records of its key, too, until these are
    redriven or discarded; drop goes on without it.
    """

    retry: RetryDecl | None = None
    """When the handler is called again for a record before that."""

    on_bad_record: OnBadRecord = "dead-letter"
    """When a record cannot be turned into an event: make it a dead letter and go on, stop, or drop it."""

    on_refused: OnRefused = "dead-letter"
    """When the sink refuses what was made of a record: make it a dead letter and go on, stop, or drop it."""

    letter_limit: LetterLimitDecl = Field(default_factory=lambda: LetterLimitDecl.model_validate({}))
    """How many records may be set aside or dropped before the shard stops instead."""

    redrive: StrictBool = False
    """Whether it takes dead letters that `holdfast dlq redrive` gives back to it.

    A processor with `on_error: park-key` always does.
    """

    cache_entries: Count = 50_000
    """How many values of each table a worker keeps decoded in memory, over all of its shards."""

    standby: Standbys = 0
    """On how many other workers each shard's state is kept warm, so that it moves there without a restore."""

    session_timeout_ms: SessionTimeout = Field(6_000, alias="session_timeout")
    """After what silence the group gives a worker's shards to others; at least 2s.

    Brokers refuse less than their `group.min.session.timeout.ms`.
    """

    @property
    def full_name(self) -> str:
        """What starts the names of all that belongs to it: its name, with its version if it has one."""
        return f"{self.name}.{self.version}" if self.version else self.name

    @property
    def parks_keys(self) -> bool:
        """Whether the key of a record that failed is parked."""
        return self.on_error == "park-key"

    @property
    def takes_redriven(self) -> bool:
        """Whether dead letters can be given back to it."""
        return self.redrive or self.parks_keys

    @property
    def state_tables(self) -> tuple[str, ...]:
        """All tables that it keeps, that of parked keys among them."""
        return (*self.tables, *((PARKED_KEYS,) if self.parks_keys else ()))

    @property
    def downstreams(self) -> tuple[str, ...]:
        """The sinks that it writes to or asks, by name."""
        return (self.sink,) if self.sink is not None else self.asks

    def changelog(self, table: str) -> str:
        """Return the name of the topic that holds the changes of `table`."""
        return f"{self.group_id}.{table}.changelog"

    def shadow(self, topic: str) -> str:
        """Return the name of the topic that takes the place of `topic` while this version is a shadow."""
        return f"{self.group_id}.{topic}.shadow"

    def in_version(self, version: str | None) -> ProcessorDecl:
        """Return the declaration of another version with the same inputs; None for the one without a name."""
        return self.model_copy(update={"version": version})

    @property
    def switch_id(self) -> str:
        """The `transactional.id` of whoever makes another version live; the same for all versions."""
        return f"{self.app}.{self.name}.switch"

    @property
    def version_name(self) -> str:
        """What its version is called on the command line."""
        return self.version or UNVERSIONED


class FaustDecl(GroupDecl):
    """A Faust application, run by faust-streaming under Holdfast's supervisor."""

    runtime: Literal["faust"]
    """What runs the processor."""

    agent: Reference
    """The `faust.App` with the agents (`module:name`)."""


class ProducerDecl(Declared):
    """A source of events inside the application."""

    name: str = Field(alias="<name>")
    """The producer's name: its key in the file."""

    source: Reference
    """A function that returns an iterable of events (`module:name`).

    Its arguments come from the command line.
    """

    writes: tuple[TopicName, ...] = Field(min_length=1)
    """Topics that its events go to."""


class LeaderTaskDecl(Declared):
    """A job that runs on one live worker of the application at a time: its leader."""

    name: str = Field(alias="<name>")
    """The task's name: its key in the file."""

    task: Reference
    """The function that is called each time (`module:name`)."""

    every_ms: Interval | None = Field(None, alias="every")
    """The time from one start to the next, from the first one on."""

    cron: Cron | None = None
    """When it starts, as in a crontab. A task has either this or `every`."""

    timezone: TimeZone = "UTC"
    """The time zone that `cron` is meant in."""

    writes: tuple[TopicName, ...] = ()
    """Output topics: the only ones that the task may write to."""


def _runtime(data: Any) -> str:
    default = getattr(data, "runtime", "holdfast")
    return str(data.get("runtime", default) if isinstance(data, dict) else default)


AnyProcessor = Annotated[
    Annotated[ProcessorDecl, Tag("holdfast")] | Annotated[FaustDecl, Tag("faust")], Discriminator(_runtime)
]


class Topology(Declared):
    """The whole declaration of one application."""

    source: Source = Field(default=Source(Path("topology.yaml")), alias="<source>", repr=False)
    """The file that it was read from."""

    app: AppName
    """The application's name; it starts the names of all groups and internal topics."""

    # Not in repr: it may hold a password.
    kafka: Mapping[str, ConfigValue] = Field(default={}, repr=False)
    """Client properties of librdkafka, such as `bootstrap.servers`, `security.protocol` or `sasl.*`."""

    topics: Mapping[TopicName, TopicDecl] = Field(min_length=1)
    """The application's topics by name."""

    processors: Mapping[Name, AnyProcessor] = {}
    """The application's processors by name."""

    sinks: Mapping[Name, SinkDecl] = {}
    """The downstream systems that processors write to, by name."""

    producers: Mapping[Name, ProducerDecl] = {}
    """The application's sources of events by name."""

    leader_tasks: Mapping[Name, LeaderTaskDecl] = {}
    """Jobs that one live worker of the application runs, by name."""

    leader_session_timeout_ms: SessionTimeout = Field(6_000, alias="leader_session_timeout")
    """After what silence of the leader another one is elected; at least 2s."""

    checks: tuple[Reference, ...] = ()
    """Functions that check the application's invariants over its topics (`module:name`)."""

    @model_validator(mode="before")
    @classmethod
    def _tell_names(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        told = dict(data)
        for section in ("topics", "processors", "sinks", "producers", "leader_tasks"):
            if isinstance(entries := data.get(section), dict):
                app = {APP: str(data.get("app"))} if section == "processors" else {}
                told[section] = {
                    name: {**entry, **app, NAME: name} if isinstance(entry, dict) else entry
                    for name, entry in entries.items()
                }
        return told

    @property
    def folder(self) -> Path:
        """The file's folder: the application's modules are imported from here."""
        return self.source.path.resolve().parent

    @property
    def dead_letter_topic(self) -> str:
        """Name of the topic for records that were set aside."""
        return f"{self.app}.dead-letters"

    @property
    def dispositions_topic(self) -> str:
        """Name of the topic that says which dead letters were dealt with, and how."""
        return f"{self.dead_letter_topic}.done"

    @property
    def redrive_topic(self) -> str:
        """Name of the topic by which dead letters are given back to their processors."""
        return f"{self.app}.redrive"

    @property
    def dlq_id(self) -> str:
        """The `transactional.id` of whoever redrives or discards dead letters."""
        return f"{self.app}.dlq"

    @property
    def controls_topic(self) -> str:
        """Name of the topic in which workers tell of their circuit breakers, and operators force them."""
        return f"{self.app}.controls"

    @property
    def leader_id(self) -> str:
        """Name of the leader's topic, and of the group and the `transactional.id` of all candidates."""
        return f"{self.app}.{LEADER}"

    def candidate_id(self, slot: str) -> str:
        """Return the `group.instance.id` of the candidate in `slot`."""
        return f"{self.leader_id}.{slot}"

    @property
    def native(self) -> Mapping[str, ProcessorDecl]:
        """The processors that Holdfast's engine runs."""
        return {name: decl for name, decl in self.processors.items() if isinstance(decl, ProcessorDecl)}

    def topic(self, name: str) -> TopicDecl:
        """Return the topic called `name`.

        Raises:
            TopologyError: it is not declared.
        """
        return _named("topic", name, self.topics)

    def processor(self, name: str) -> ProcessorDecl | FaustDecl:
        """Return the processor called `name`.

        Raises:
            TopologyError: it is not declared.
        """
        return _named("processor", name, self.processors)

    def sink(self, name: str) -> SinkDecl:
        """Return the sink called `name`.

        Raises:
            TopologyError: it is not declared.
        """
        return _named("sink", name, self.sinks)

    def producer(self, name: str) -> ProducerDecl:
        """Return the producer called `name`.

        Raises:
            TopologyError: it is not declared.
        """
        return _named("producer", name, self.producers)

    def leader_task(self, name: str) -> LeaderTaskDecl:
        """Return the leader task called `name`.

        Raises:
            TopologyError: it is not declared.
        """
        return _named("leader task", name, self.leader_tasks)

    def partitions(self, processor: str) -> int:
        """Return how many shards a processor has: the partitions of its inputs.

        Raises:
            TopologyError: the processor or its first input is not declared.
        """
        return self.topic(self.processor(processor).reads[0]).partitions

    def inputs(self, processor: ProcessorDecl | FaustDecl) -> tuple[str, ...]:
        """Return all that a processor reads, the redrive topic too if it takes redriven records."""
        takes = isinstance(processor, ProcessorDecl) and processor.takes_redriven
        return (*processor.reads, self.redrive_topic) if takes else processor.reads

    def topic_specs(self) -> tuple[TopicSpec, ...]:
        """Return every topic that the cluster has to hold, Holdfast's own ones last."""
        return (*(self._spec(topic) for topic in self.topics.values()), *self.internal_topics())

    def internal_topics(self) -> tuple[TopicSpec, ...]:
        """Return Holdfast's own topics.

        Changelogs; dead letters if a processor is declared; by what they are given back, the leader's, and
        that of the breakers, if any.
        """
        changelogs = tuple(
            self._changelog(processor, table)
            for processor in self.native.values()
            for table in processor.state_tables
        )
        letters = (self._dead_letters(),) if self.native else ()
        redriven = (self._redriven(),) if any(it.takes_redriven for it in self.native.values()) else ()
        leader = (self._leader_topic(),) if self.leader_tasks else ()
        controls = (self._controls(),) if self.has_breakers else ()
        return (*changelogs, *letters, *redriven, *leader, *controls)

    @property
    def has_breakers(self) -> bool:
        """Whether a processor has a sink, or asks one."""
        return any(processor.downstreams for processor in self.native.values())

    def shadow_topics(self, processor: ProcessorDecl) -> tuple[TopicSpec, ...]:
        """Return the topics that a processor writes to instead of the declared ones while it is a shadow.

        They are not compacted: outputs are compared record by record.
        """
        written = [self._spec(self.topic(name)) for name in processor.writes]
        return tuple(
            TopicSpec(
                processor.shadow(spec.name),
                spec.partitions,
                spec.replication,
                {**spec.config, "cleanup.policy": "delete"},
            )
            for spec in (*written, self._dead_letters())
        )

    def _spec(self, topic: TopicDecl) -> TopicSpec:
        stateful = tuple(
            name for name, by in self.native.items() if by.state_tables and topic.name in by.reads
        )
        config = {**durable(topic.replication), **topic.config}
        origin = f"{self.source.path}:{self.source.line(('topics', topic.name))}"
        return TopicSpec(topic.name, topic.partitions, topic.replication, config, stateful, origin)

    def _changelog(self, processor: ProcessorDecl, table: str) -> TopicSpec:
        replication = max(self.topic(name).replication for name in processor.reads)
        config = {"cleanup.policy": "compact", **durable(replication)}
        partitions = self.partitions(processor.name)
        return TopicSpec(processor.changelog(table), partitions, replication, config, (processor.name,))

    def _dead_letters(self) -> TopicSpec:
        """Return the dead letters' topic.

        Kept without end, as a dead letter waits for a person. Its number of partitions is fixed:
        one that followed the inputs would differ from the cluster whenever an input is added.
        """
        inputs = [self.topic(name) for processor in self.native.values() for name in processor.reads]
        replication = max(topic.replication for topic in inputs)
        largest = max(int(topic.config.get(MAX_BYTES, BROKER_MAX_BYTES)) for topic in inputs)
        config: dict[str, str] = {
            "retention.ms": "-1",
            MAX_BYTES: str(largest + CAUSE_BYTES),
            **durable(replication),
        }
        return TopicSpec(self.dead_letter_topic, DEAD_LETTER_PARTITIONS, replication, config)

    def dispositions(self) -> TopicSpec:
        """Return the topic that says what became of dead letters. The first command that needs it creates it.

        Compacted: what was done with a letter is known as long as the letter is.
        """
        letters = self._dead_letters()
        config = {"cleanup.policy": "compact", **durable(letters.replication)}
        return TopicSpec(self.dispositions_topic, 1, letters.replication, config)

    def _redriven(self) -> TopicSpec:
        """Return the topic of redriven records: partition p is for the shards with that number.

        Its records have the time at which they were redriven, so that brokers refuse none for its own.
        """
        letters = self._dead_letters()
        takers = [name for name, it in self.native.items() if it.takes_redriven]
        shards = max(self.partitions(name) for name in takers)
        config = {**letters.config, "message.timestamp.type": "LogAppendTime"}
        return TopicSpec(self.redrive_topic, shards, letters.replication, config)

    def _leader_topic(self) -> TopicSpec:
        """Return the leader's topic: its one partition is what candidates compete for.

        Compacted: the last run of each task and every election are kept without end.
        """
        return self._small_log(self.leader_id, {})

    def _controls(self) -> TopicSpec:
        """Return the topic of the breakers; its times are the brokers', as operators' clocks may differ."""
        return self._small_log(self.controls_topic, {"message.timestamp.type": "LogAppendTime"})

    def _small_log(self, name: str, config: Mapping[str, str]) -> TopicSpec:
        """Return a compacted topic with one partition, as safe as the safest of the application's."""
        replication = max(topic.replication for topic in self.topics.values())
        compacted = {"cleanup.policy": "compact", "segment.bytes": str(_SMALL_SEGMENT_BYTES)}
        return TopicSpec(name, 1, replication, {**compacted, **config, **durable(replication)})


def _named(kind: str, name: str, known: Mapping[str, T]) -> T:
    if name in known:
        return known[name]
    raise TopologyError(
        f'{kind} "{name}" is not declared in the topology{did_you_mean(name, known)} '
        f"(declared: {', '.join(known) or 'none'})"
    )
