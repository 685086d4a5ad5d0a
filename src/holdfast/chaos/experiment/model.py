"""An experiment: what `chaos/*.yaml` says, as frozen values.

The text under each field is its reference documentation. Durations are held in milliseconds. Time 0 is when
the steady state has held for the first time: before that nothing is broken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, StrictBool

from holdfast.chaos.experiment.catalogue import ClusterKind, FaultKind
from holdfast.chaos.experiment.fields import (
    Brokers,
    Description,
    Keys,
    Lasting,
    Moment,
    Partitions,
    QuietShare,
    Rate,
    Size,
    Times,
    Value,
    Workers,
)
from holdfast.chaos.experiment.invariants import Engine, WorkloadKind
from holdfast.chaos.experiment.targets import Role, Target, brokers_hit
from holdfast.declaration.base import Declared
from holdfast.declaration.source import Location, Source
from holdfast.topology.fields import (
    CommitInterval,
    ConfigValue,
    Count,
    Name,
    Reference,
    Replication,
    Servers,
    SessionTimeout,
    Standbys,
    Text,
    TopicName,
)

COPIES = 3
"""On how many brokers a topic is kept where there are as many."""

MOST_FAULTS = 5_000
"""How many faults a run has at most: each is waited for on a thread of its own. A day by chance has 4,318,
unless told otherwise."""


class Cluster(Declared):
    """What is broken."""

    kind: ClusterKind = "embedded"
    """`embedded`: processes of this machine; `containers`: in Docker; `external`: a cluster of yours."""

    brokers: Brokers = 3
    """How many brokers there are; a cluster of yours has as many as it has."""

    network: Literal["plain", "isolated"] = "plain"
    """`isolated` gives each broker and worker a network of its own, which faults of the network need."""

    disk: Literal["plain", "small"] = "plain"
    """`small` gives each broker a small disk of its own, which faults of the disk need."""

    broker_config: Mapping[str, ConfigValue] = {}
    """Properties of the brokers, such as `replica.lag.time.max.ms`."""

    bootstrap_servers: Servers | None = None
    """Where some brokers of your cluster are."""

    fair_game: StrictBool = False
    """That this cluster of yours may be loaded and broken; without it nothing is done to it."""


class Processor(Declared):
    """How Holdfast's own engine is set where it is the one that works, and Kafka Streams as far as it can."""

    commit_interval_ms: CommitInterval = Field(100, alias="commit_interval")
    """How often outputs, state and positions are committed together."""

    session_timeout_ms: SessionTimeout = Field(6_000, alias="session_timeout")
    """After what silence the group gives a worker's shards to others."""

    cache_entries: Count = 50_000
    """How many values of each table a worker of Holdfast keeps decoded in memory."""


class Workload(Declared):
    """What goes on meanwhile."""

    kind: WorkloadKind
    """`raw`: clients' transactions; `bank`: transfers; `sequence`: counts by key; `application`: yours."""

    engine: Engine = "holdfast"
    """What processes it: Holdfast, or a control (the client's own transactions, written by hand; a plain loop
    that is at-least-once; Faust as it is; Kafka Streams)."""

    rate: Rate = 2_000
    """How many events are offered in a second."""

    keys: Keys = 1_000
    """Over how many keys they are spread."""

    partitions: Partitions = 6
    """How many partitions the input has."""

    replication: Replication | None = None
    """On how many brokers topics are kept: 3, or as many as there are, unless given."""

    workers: Workers = 3
    """How many processes work: the engine's, or the clients of `raw`."""

    standby: Standbys = 0
    """On how many other workers each shard's state is kept warm."""

    processor: Processor = Field(default_factory=lambda: Processor.model_validate({}))
    """Settings of Holdfast's engine, and of Kafka Streams."""

    topology: Text | None = None
    """The application's topology file, seen from the experiment's file."""

    output: TopicName | None = None
    """The application's topic that is watched: the last one that nobody in it reads, unless given."""

    arguments: Mapping[Name, Mapping[str, Any]] = {}
    """What the application's producers are given: arguments by the producer's name."""

    checks: tuple[Reference, ...] = Field((), min_length=1)
    """Which of the topology's `checks` have to hold (`module:name`): all of them, unless given."""


class SteadyState(Declared):
    """What "it works" means. It is waited for before the first fault, and again after the last one."""

    fresh_within_ms: Lasting = Field(5_000, alias="fresh_within")
    """How old the newest committed output of every partition may be."""

    for_ms: Lasting = Field(10_000, alias="for")
    """For how long that has to hold."""

    reached_within_ms: Lasting = Field(60_000, alias="reached_within")
    """How long it may take until it does, at the start and at the end."""


class Bounds(Declared):
    """From how long to how long."""

    min_ms: Lasting = Field(alias="min")
    """At least."""

    max_ms: Lasting = Field(alias="max")
    """At most."""


class Mix(Declared):
    """Faults by chance. The time is cut into periods; a share of them is quiet, so that things can recover.

    The defaults are those of Jepsen's suite for bufstream: 1/4 of the periods without a fault, 5 s clean.
    """

    every_ms: Lasting = Field(15_000, alias="every")
    """How long a period is; faults begin and end within theirs."""

    lasting: Bounds = Field(alias="for")
    """How long a fault lasts."""

    at_once: Times = 1
    """How many faults a period has at most."""

    quiet: QuietShare = 0.25
    """The share of periods without any."""

    clean_start_ms: Moment = Field(5_000, alias="clean_start")
    """For how long nothing happens at first."""

    calm_end_ms: Moment = Field(15_000, alias="calm_end")
    """For how long nothing happens at last."""

    choose: tuple[Any, ...] = Field(min_length=1)
    """The faults to choose from, each with its `fault`, `target`, parameters and `weight`."""


class Abort(Declared):
    """When a run is given up, and all faults are undone: it has shown what it could, or does harm."""

    lag_above: Count | None = None
    """More records than that wait to be processed."""

    output_stale_for_ms: Lasting | None = Field(None, alias="output_stale_for")
    """No output was committed for so long."""

    disk_free_below: Size | None = None
    """Less than that is free on a disk of this machine that the run writes to, in bytes."""


class OwnInvariant(Declared):
    """An invariant of the experiment's own."""

    name: Name
    """What it is called in the verdict."""

    sql: Text | None = None
    """A query over the history; every row that it returns is a violation."""

    over: Text | None = None
    """What `sql` looks at, a table or a query that has to give rows: every table it names, unless given."""

    check: Reference | None = None
    """Or a function `module:name` of a `Database` with the history's tables, which returns an `Evaluated`."""


class Declaration(Declared):
    """The top level of the file; what has a line of its own in the report is read by itself."""

    name: Name
    """What it is called in lists and reports."""

    description: Description
    """What it shows, in one sentence for lists, and then how."""

    cluster: Any = Field(default={})
    """What is broken: three embedded brokers, unless given."""

    workload: Any
    """What goes on meanwhile."""

    steady_state: Any = Field(default={})
    """What "it works" means."""

    time_limit_ms: Lasting = Field(alias="time_limit")
    """How long events are offered and faults may happen, from time 0 on."""

    drain_ms: Lasting = Field(60_000, alias="drain")
    """How long it may take after that until everything is read and every transaction is finished."""

    faults: tuple[Any, ...] | None = None
    """Faults on a time line."""

    random: Any = None
    """Or faults by chance."""

    invariants: tuple[Any, ...] = Field(min_length=1)
    """What has to hold in the end: built-in ones by name, and own ones."""

    abort: Any = Field(default={})
    """When a run is given up."""


@dataclass(frozen=True)
class Fault:
    """What is done, to whom.

    Attributes:
        kind: the kind of fault.
        target: whom it hits; None for a kind that has no target.
        parameters: its own keys: durations in milliseconds, bandwidths in bits per second.
    """

    kind: FaultKind
    target: Target | None
    parameters: Mapping[str, Value | None]

    @property
    def targets(self) -> Mapping[str, Target]:
        """Everybody whom it is about, by the key that says so."""
        named = {"target": self.target, **self.parameters}
        return {key: value for key, value in named.items() if isinstance(value, Target)}


@dataclass(frozen=True)
class TimedFault:
    """A fault on the time line.

    Attributes:
        fault: what is done.
        at_ms: when it begins, the first time.
        for_ms: how long it lasts; None for an instant.
        times: how often it is done.
        every_ms: from one beginning to the next, where that is more than once.
    """

    fault: Fault
    at_ms: int
    for_ms: int | None
    times: int = 1
    every_ms: int | None = None

    def starts(self) -> tuple[int, ...]:
        """When it begins, each time."""
        return tuple(self.at_ms + turn * (self.every_ms or 0) for turn in range(self.times))

    def least_ms(self, brokers: int, workers: int) -> int:
        """How long it takes at least: a rolling restart pauses between one and the next."""
        if not self.fault.kind.open_end:
            return self.for_ms or 0
        target, pause = self.fault.target, self.fault.parameters["pause"]
        assert target is not None, "who is restarted in turn is a target"
        assert isinstance(pause, int), "a duration is read in milliseconds"
        count = workers if target.role is Role.WORKERS else brokers_hit(target, brokers)
        return pause * (count - 1)


@dataclass(frozen=True)
class WeightedFault:
    """A fault that may be chosen.

    Attributes:
        fault: what is done.
        weight: how often it is chosen, compared with the others.
    """

    fault: Fault
    weight: int = 1


@dataclass(frozen=True)
class Experiment:
    """A whole experiment.

    Attributes:
        source: the file that it was read from.
        name: what it is called.
        description: what it shows.
        cluster: what is broken.
        workload: what goes on meanwhile.
        steady_state: what "it works" means.
        time_limit_ms: how long events are offered and faults may happen.
        drain_ms: how long it may take after that until everything is read.
        time_line: its faults, if they are on a time line.
        mix: how faults come by chance, if they do; what it chooses from is in `choices`.
        choices: the faults to choose from.
        invariants: the built-in invariants, by name.
        own_invariants: its own ones.
        abort: when a run is given up.
        own_places: where in the file its own invariants stand, by name.
        functions: the folder in which their functions are looked for; None for that of the file.
    """

    source: Source = field(repr=False)
    name: str
    description: str
    cluster: Cluster
    workload: Workload
    steady_state: SteadyState
    time_limit_ms: int
    drain_ms: int
    time_line: tuple[TimedFault, ...]
    mix: Mix | None
    choices: tuple[WeightedFault, ...]
    invariants: tuple[str, ...]
    own_invariants: tuple[OwnInvariant, ...]
    abort: Abort
    own_places: Mapping[str, Location] = field(default_factory=dict, repr=False)
    functions: Path | None = None

    @property
    def summary(self) -> str:
        """What it shows: the first sentence of its description."""
        return re.split(r"(?<=[.!?]) ", self.description, maxsplit=1)[0]

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Every fault that may happen, in the order of the file."""
        return (*(it.fault for it in self.time_line), *(it.fault for it in self.choices))

    @property
    def upgrade_from(self) -> str | None:
        """The older Kafka that the brokers begin with; None where they begin with the embedded one."""
        found = (fault.parameters.get("upgrade_from") for fault in self.faults)
        return next((str(release) for release in found if release is not None), None)

    @property
    def topology_file(self) -> Path | None:
        """The application's topology file, if it is about an application."""
        topology = self.workload.topology
        return None if topology is None else self.source.path.parent / topology

    @property
    def replication(self) -> int:
        """On how many brokers topics are kept."""
        return self.workload.replication or min(COPIES, self.cluster.brokers)
