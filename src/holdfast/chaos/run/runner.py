"""One run of an experiment: brokers, load, faults, and the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from holdfast.chaos.checker.finished import PartitionEnd
from holdfast.chaos.clients.loop.orders import Control
from holdfast.chaos.clients.output_watch import OutputWatch
from holdfast.chaos.experiment import Experiment, PlannedFault, schedule
from holdfast.chaos.gates.gates import Gates
from holdfast.chaos.history import Recorder, seal
from holdfast.chaos.lab.base import Lab
from holdfast.chaos.lab.containers import ContainerLab
from holdfast.chaos.lab.embedded import EmbeddedLab, LabSettings
from holdfast.chaos.lab.external import ExternalLab
from holdfast.chaos.lab.workers import Workers
from holdfast.chaos.run.aborting import Limits
from holdfast.chaos.run.breakers import BreakerWatch
from holdfast.chaos.run.faults import FaultMaker
from holdfast.chaos.run.machine import describe_machine, versions
from holdfast.chaos.run.nemesis import Done, Nemesis
from holdfast.chaos.run.parts import Observation, asked_of, shards_of
from holdfast.chaos.run.recovery import Blow, recoveries
from holdfast.chaos.run.result import FaultSpan, InvariantResult, RunResult
from holdfast.chaos.run.sampling import Sampler
from holdfast.chaos.run.verdicts import Evidence, judge
from holdfast.chaos.run.whom import Surroundings, Whom, sinks_to_gate
from holdfast.chaos.workloads.base import Offering
from holdfast.chaos.workloads.choice import (
    RECORDINGS,
    declared_facts,
    make_workload,
    worker_names,
)
from holdfast.checks import CheckResult
from holdfast.errors import HoldfastError
from holdfast.kafka.offsets import OffsetAdmin
from holdfast.kafka.roles import BrokerRoles
from holdfast.local.jars import kafka_version
from holdfast.local.progress import Progress, Silent
from holdfast.runtime.supervisor import WorkerState
from holdfast.topology import ResolvedTopology

HISTORY = "history"
_LOOK_S = 0.1
_START_S = 90.0


class Told(Protocol):
    """Told how a run goes on."""

    def phase(self, name: str) -> None:
        """Something new begins, in words."""

    def tick(self, at: float, load: Offering, done: list[Done], lag: int) -> None:
        """How it is, `at` seconds after time 0."""


@dataclass(frozen=True)
class RunSettings:
    """How an experiment is run.

    Attributes:
        seed: which of its runs.
        folder: where everything of the run is kept.
        command: what repeats it.
        prefix: begins the names of its topics and groups, so that runs can share brokers.
        control: what is done on purpose to the engines that are loops.
        application: what the workload `application` is about, as `require_possible` has read it.
    """

    seed: int
    folder: Path
    command: str
    prefix: str = ""
    control: Control = Control()  # noqa: RUF009 # frozen
    application: ResolvedTopology | None = None


class Runner:
    """Runs an experiment once.

    Args:
        experiment: what is done.
        settings: how.
        told: told how it goes on.
        progress: told about the start of the brokers.
        lab: brokers that run, and go on to run: those of `lab_settings`. None for brokers of its own.
    """

    def __init__(
        self,
        experiment: Experiment,
        settings: RunSettings,
        told: Told,
        progress: Progress | None = None,
        *,
        lab: Lab | None = None,
    ) -> None:
        self._experiment = experiment
        self._settings = settings
        self._told = told
        self._progress = progress or Silent()
        self._lab = lab
        self._trouble: list[str] = []

    def run(self) -> RunResult:
        """Do it; whatever happens, no fault, no worker and no broker of its own is left.

        Raises:
            HoldfastError: it could not be run at all; nothing is known then.
        """
        began, wall = time.monotonic(), datetime.now(UTC)
        plan = schedule(self._experiment, self._settings.seed)
        is_over = False
        try:
            with ExitStack() as stack:
                recorder = stack.enter_context(Recorder(self._settings.folder / RECORDINGS, "runner"))
                gates = self._gates()
                if gates is not None:
                    stack.enter_context(gates)
                lab = self._lab or stack.enter_context(self._own_lab())
                if isinstance(lab, ExternalLab):
                    self._adapt(lab)
                course = Course(
                    self._experiment, self._settings, lab, recorder, self._told, self._trouble, gates
                )
                course.run(plan)
                is_over = True
        except HoldfastError as error:
            if not is_over:
                raise
            # All is recorded by then: what cannot be cleared away changes no claim.
            self._trouble.append(f"not all could be cleared away: {'; then '.join(_chain(error))}")
        self._told.phase("check the history")
        invariants = self._judge(course)
        result = self._result(course, invariants, wall, time.monotonic() - began)
        result.save(self._settings.folder)
        return result

    def _gates(self) -> Gates | None:
        """What stands before the sinks that a fault is aimed at; before the workers, who are led there."""
        if self._settings.application is None:
            return None
        topology = self._settings.application.topology
        names = sinks_to_gate(self._experiment, topology.sinks)
        return Gates(topology, names, self._settings.seed) if names else None

    def _own_lab(self) -> Lab:
        self._told.phase("start the brokers")
        cluster = self._experiment.cluster
        if cluster.kind == "containers":
            overrides = {name: str(value) for name, value in cluster.broker_config.items()}
            return ContainerLab(cluster.brokers, overrides, self._progress)
        if cluster.kind == "external":
            assert cluster.bootstrap_servers is not None, "the experiment was checked"
            session_s = self._experiment.workload.processor.session_timeout_ms / 1000
            return ExternalLab(cluster.bootstrap_servers, session_s)
        wanted = lab_settings(self._experiment, self._settings.seed, self._settings.application)
        return EmbeddedLab(wanted, self._progress)

    def _adapt(self, lab: ExternalLab) -> None:
        """Take from a cluster of others how many brokers it has, and give all names the lab's prefix."""
        self._settings = replace(self._settings, prefix=lab.prefix)
        found = self._experiment.cluster.model_copy(update={"brokers": len(lab.brokers.names)})
        self._experiment = replace(self._experiment, cluster=found)

    def _judge(self, course: Course) -> tuple[InvariantResult, ...]:
        history = seal(
            self._settings.folder / RECORDINGS,
            self._settings.folder / HISTORY,
            about={"experiment": self._experiment.name, "seed": self._settings.seed},
        )
        evidence = Evidence(
            self._experiment,
            history,
            course.workload.plan,
            course.ends,
            is_complete=course.is_complete,
            checks=course.checks,
        )
        return judge(evidence)

    def _kafka(self) -> str:
        """Which Kafka was run, in words."""
        if self._experiment.cluster.kind == "external":
            return f"that of {self._experiment.cluster.bootstrap_servers}"
        older = self._experiment.upgrade_from
        return f"{older}, upgraded to {kafka_version()}" if older else kafka_version()

    def _result(
        self, course: Course, invariants: tuple[InvariantResult, ...], wall: datetime, whole_s: float
    ) -> RunResult:
        experiment = self._experiment
        return RunResult(
            experiment=experiment.name,
            description=experiment.description,
            file=str(experiment.source.path),
            seed=self._settings.seed,
            command=self._settings.command,
            began=wall.isoformat(timespec="seconds"),
            machine=describe_machine(),
            versions=versions(self._kafka()),
            workload={
                **declared_facts(experiment),
                **course.workload.facts,
                "brokers": experiment.cluster.brokers,
                "network": experiment.cluster.network,
            },
            load_s=round(course.load_s, 1),
            whole_s=round(whole_s, 1),
            counts=course.counts,
            invariants=invariants,
            trouble=tuple(self._trouble),
            faults=course.faults(),
            recovery=course.recovery(),
            samples=course.samples(),
            shards=course.shards,
            owners=course.parts.owners.as_spans(course.zero),
            leaders=course.parts.leaders.as_spans(course.zero),
            breakers=course.breakers.as_spans(course.zero),
        )


def _chain(error: BaseException | None) -> Iterator[str]:
    """What went wrong while the steps of an end were done, from the first on: each hides the one before."""
    if isinstance(error, HoldfastError):
        yield from _chain(error.__context__)
        yield str(error)


class Course:
    """What happens on the brokers in one run.

    Args:
        experiment: what is done.
        settings: how.
        lab: the brokers.
        recorder: takes the history.
        told: told how it goes on.
        trouble: takes what goes wrong, in words.
        gates: what stands before the application's sinks.

    Attributes:
        zero: time 0, on the monotonic clock.
        load_s: for how long events were offered from then on.
        counts: of events and records.
        ends: ends of all output partitions, after the workers have stopped.
        checks: what the workload's own checks found then.
        shards: whose lag the samples tell, in their order.
        is_complete: whether all that was offered was processed and read.
        breakers: states of the workers' circuit breakers.
    """

    def __init__(
        self,
        experiment: Experiment,
        settings: RunSettings,
        lab: Lab,
        recorder: Recorder,
        told: Told,
        trouble: list[str],
        gates: Gates | None = None,
    ) -> None:
        self._experiment = experiment
        self._gates = gates
        self._settings = settings
        self._lab = lab
        self._recorder = recorder
        self._told = told
        self._trouble = trouble
        self._servers = lab.bootstrap_servers
        self.workload = make_workload(
            experiment,
            self._servers,
            settings.folder,
            seed=settings.seed,
            prefix=settings.prefix,
            control=settings.control,
            application=settings.application,
            gates=gates,
        )
        self._watch = OutputWatch(self._servers, *self.workload.watched, self.workload.fresh_s)
        most = _most_workers(experiment)
        self._groups = self.workload.groups(most)
        self.parts = Observation(asked_of(self._servers, self.workload.source, self._groups))
        self.shards = shards_of(self._groups)
        self._workers = Workers(self.workload.specs(most), self.workload.shards)
        self.breakers = BreakerWatch(self._workers.views)
        self._sampler: Sampler | None = None
        self._nemesis: Nemesis | None = None
        self.zero = time.monotonic()
        self.load_s = 0.0
        self.counts: dict[str, int] = {}
        self.ends: list[PartitionEnd] = []
        self.checks: tuple[CheckResult, ...] = ()
        self.is_complete = False
        self._load_ended = 0.0

    def run(self, plan: tuple[PlannedFault, ...]) -> None:
        """Everything from the first topic to the last record.

        Raises:
            HoldfastError: it could not be brought to its end.
        """
        self._told.phase("start the workers")
        self.workload.provision()
        with self._workers:
            self._start_workers()
            self._workers.wait_until_whole(_START_S)
            self._under_load(plan)
            self._note_failed_workers()
        self._trouble += [f"the observer of the run made a mistake: {text}" for text in self.parts.mistakes]
        self._told.phase("read everything")
        try:
            self._read_all()
        except HoldfastError as error:
            # What was recorded is judged all the same; what nobody could read is no loss.
            self.is_complete = False
            self._trouble.append(f"not everything could be read: {error}")

    def _start_workers(self) -> None:
        """Start those that are to be up and are not."""
        for name in self.workload.names(self._experiment.workload.workers):
            self._workers.start(name)

    def _under_load(self, plan: tuple[PlannedFault, ...]) -> None:
        wanted = self._experiment.workload
        load = self.workload.load(
            rate=wanted.rate,
            keys=wanted.keys,
            seed=self._settings.seed,
            recorder=self._recorder,
            workers=self._workers,
        )
        with ExitStack() as stack:
            parts, watch = stack.enter_context(self.parts), stack.enter_context(self._watch)
            stack.enter_context(self.breakers)
            with load:
                self._sampler = stack.enter_context(Sampler(load, watch, parts))
                if self._steady("before the first fault"):
                    self._break(plan, load)
            if load.has_ended:
                text = f"the load came to its end after {load.published:,} events, before the run did"
                self._trouble.append(f"{text}; let its producers yield more (`workload.arguments`)")
            self.counts |= {
                "published": load.published,
                "acknowledged": load.acknowledged,
                "unknown": load.unknown,
            }
            self._told.phase("process what is left")
            self._load_ended = stopped = time.monotonic()
            within = self._experiment.drain_ms / 1000
            self.is_complete = self._until(lambda: parts.is_drained(stopped), within, "all processed")

    def _break(self, plan: tuple[PlannedFault, ...], load: Offering) -> None:
        self.zero = time.monotonic()
        limits = Limits(self._experiment.abort, self._watch, self.parts, self._settings.folder)
        maker = FaultMaker(self._lab, self._workers, Whom(self._surroundings()), self._gates)
        end = self.zero + self._experiment.time_limit_ms / 1000
        self._told.phase("break things")
        with Nemesis(plan, maker, self._lab.journal, self.zero) as self._nemesis:
            while (now := time.monotonic()) < end and not load.has_ended:
                load.check()
                self._told.tick(now - self.zero, load, self._nemesis.done, sum(self.parts.lag))
                if (reason := limits.exceeded()) is not None:
                    self._trouble.append(f"given up after {now - self.zero:.0f} s: {reason}")
                    break
                time.sleep(_LOOK_S)
        self._note_collisions(len(plan))
        for done in self._done():
            done.note_in(self._recorder)
        self._told.phase("heal")
        self.load_s = time.monotonic() - self.zero
        self._heal()
        self._steady("after the last fault")

    def _note_collisions(self, planned: int) -> None:
        """Faults that were not done, as they turned out to be aimed at whom another one had.

        Where faults come by chance that is chance, too, and counted; on a time line it is a mistake.
        """
        assert self._nemesis is not None
        held = [done for done in self._nemesis.done if done.held_by_another]
        if held and self._experiment.mix is not None:
            self.counts["faults left out, as another had their target"] = len(held)
        for done in held if self._experiment.mix is None else ():
            self._trouble.append(
                f"{done.planned.kind.name} at {done.planned.at_ms / 1000:g} s was not done: another fault "
                f"was doing the same to {done.held_by_another}"
            )
        missing = planned - len(self._nemesis.done)
        if missing and not self._trouble:
            self._trouble.append(f"{missing} of {planned} planned faults were not begun")

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            brokers=self._lab.brokers.names,
            workers=self._workers,
            roles=BrokerRoles(self._servers),
            owners=self.parts.owners,
            topic=self.workload.source,
            group=self.workload.group,
            transactional_id=self.workload.transactional_id,
            prefix=self._settings.prefix,
            label=self._groups[0].label if self._groups else "",
        )

    def _heal(self) -> None:
        for name in self._lab.brokers.names:
            self._lab.brokers.start(name)
        self._start_workers()
        try:
            self._workers.wait_until_whole(self._experiment.steady_state.reached_within_ms / 1000)
        except HoldfastError as error:
            self._trouble.append(f"after the last fault: {error}")

    def _note_failed_workers(self) -> None:
        """A worker that gave up, or a shard that stopped, is told even where nothing is lost."""
        for name, view in self._workers.views().items():
            if view.state is WorkerState.FAILED:
                self._trouble.append(f"{name} cannot go on: {view.error}")
            for shard, why in view.shard_failures.items():
                self._trouble.append(f"{name}: shard {shard} stopped: {why}")

    def _steady(self, when: str) -> bool:
        """Wait for the steady state; False, and trouble, if it does not come."""
        wanted = self._experiment.steady_state
        self._told.phase(f"wait for the steady state {when}")
        since: float | None = None

        def steady() -> bool:
            nonlocal since
            if not self._watch.fresh_within(wanted.fresh_within_ms / 1000):
                since = None
            elif since is None:
                since = time.monotonic()
            return since is not None and time.monotonic() - since >= wanted.for_ms / 1000

        return self._until(steady, wanted.reached_within_ms / 1000, f"steady {when}")

    def _until(self, condition: Callable[[], bool], within: float, what: str) -> bool:
        deadline = time.monotonic() + within
        while not condition():
            if time.monotonic() > deadline:
                self._trouble.append(f"not {what} within {within:.0f} s")
                return False
            time.sleep(_LOOK_S)
        return True

    def _read_all(self) -> None:
        """The workers have stopped: what is in the topics now stays."""
        self._lab.brokers.wait_until_whole(_START_S)
        admin = OffsetAdmin(self._servers)
        places = [place for found in admin.partitions(self.workload.outputs).values() for place in found]
        committed, ends = admin.ends(places), admin.high_watermarks(places)
        self.ends = [
            PartitionEnd(place.topic, place.partition, committed[place], ends[place]) for place in places
        ]
        counts = self.workload.record_end(self._recorder)
        self.counts |= {f"records of {topic}": count for topic, count in counts.items()}
        self.checks = self.workload.checks()

    # -- what it was

    def faults(self) -> tuple[FaultSpan, ...]:
        """What was done."""
        return tuple(self._span(done) for done in self._done())

    def _done(self) -> list[Done]:
        """What was done; without what another fault was doing already."""
        tried = self._nemesis.done if self._nemesis else []
        return sorted((done for done in tried if not done.held_by_another), key=lambda done: done.began)

    def _span(self, done: Done) -> FaultSpan:
        ended = None if done.ended is None else round(done.ended - self.zero, 3)
        began = round(done.began - self.zero, 3)
        is_instant = done.planned.for_ms is None and not done.planned.kind.open_end
        return FaultSpan(
            done.planned.kind.name,
            str(done.planned.target or ""),
            done.hit,
            began,
            began if is_instant and ended is not None else ended,
            done.evidence,
            done.error,
        )

    def recovery(self) -> tuple[Any, ...]:
        """How the output went through it."""
        blows = [Blow(place, done.began) for place, done in enumerate(self._done()) if not done.error]
        holders = (self.parts.owners, self.parts.leaders)
        return recoveries(
            blows, self._watch.gaps(), self._watch.stale(), holders, self._load_ended, self.workload.fresh_s
        )

    def samples(self) -> tuple[Any, ...]:
        """What the output was."""
        return self._sampler.samples(self.zero) if self._sampler is not None else ()


def lab_settings(
    experiment: Experiment, seed: int, application: ResolvedTopology | None = None
) -> LabSettings:
    """The brokers that an experiment needs. Other runs of it can have the same ones."""
    cluster = experiment.cluster
    return LabSettings(
        brokers=cluster.brokers,
        isolated=cluster.network == "isolated",
        small_disks=cluster.disk == "small",
        clocks=any(each.kind.name.startswith("clock.") for each in experiment.faults),
        workers=worker_names(_most_workers(experiment), application),
        overrides={name: str(value) for name, value in cluster.broker_config.items()},
        seed=seed,
        release=experiment.upgrade_from,
    )


def _most_workers(experiment: Experiment) -> int:
    """How many workers there are at most, with those that a fault adds."""
    added = [fault.parameters.get("to") for fault in experiment.faults if fault.kind.name == "worker.scale"]
    return max([experiment.workload.workers, *(int(str(count)) for count in added if count is not None)])
