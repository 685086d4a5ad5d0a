"""One run of an experiment: brokers, load, faults, and the verdict."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

from holdfast.chaos.experiment import Experiment, schedule
from holdfast.chaos.gates.gates import Gates
from holdfast.chaos.history import History, Recorder, seal
from holdfast.chaos.lab.base import Lab
from holdfast.chaos.run.course import Course
from holdfast.chaos.run.fault_spans import fault_spans
from holdfast.chaos.run.labs import adapted, lab_of
from holdfast.chaos.run.machine import describe_machine, versions
from holdfast.chaos.run.parts import shards_of
from holdfast.chaos.run.result import FILE_NAME, InvariantResult, RunResult
from holdfast.chaos.run.scene import Scene
from holdfast.chaos.run.settings import RunSettings, Told
from holdfast.chaos.run.verdicts import Evidence, judge, unjudged
from holdfast.chaos.run.whom import sinks_to_gate
from holdfast.chaos.workloads.choice import RAW, RECORDINGS, declared_facts
from holdfast.chaos.workloads.raw import counts_of_sends
from holdfast.errors import HistoryError, HoldfastError
from holdfast.local.jars import kafka_version
from holdfast.local.progress import Progress, Silent

HISTORY = "history"


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

    def run(self) -> RunResult:
        """Do it; whatever happens, no fault, no worker and no broker of its own is left.

        A run that came to its end has a result, also where its history cannot be judged: what was done and
        measured is worth keeping, and cannot be had again.

        Raises:
            HoldfastError: it could not be run at all; nothing is known then.
        """
        began, wall = time.monotonic(), datetime.now(UTC)
        course = self._course()
        self._told.phase("check the history")
        mistake: Exception | None = None
        try:
            invariants = _judged(course)
        except Exception as error:  # noqa: BLE001 - raised again below, unless it is told
            told, mistake = (error, None) if isinstance(error, HoldfastError) else (repr(error), error)
            course.scene.trouble.append(f"the history could not be judged: {told}")
            invariants = unjudged(course.scene.experiment, told)
        result = self._kept(_result(course, invariants, wall, time.monotonic() - began))
        if mistake is not None:
            raise mistake
        return result

    def _kept(self, result: RunResult) -> RunResult:
        """The result, written to the run's folder; if it cannot be, that is told in it: it has a verdict."""
        try:
            result.save(self._settings.folder)
        except OSError as error:
            text = f"{self._settings.folder / FILE_NAME} cannot be written: {error.strerror or error}"
            return replace(result, trouble=(*result.trouble, text))
        return result

    def _course(self) -> Course:
        """What happens, to its end and with everything cleared away.

        Raises:
            HoldfastError: it could not be brought to its end.
        """
        plan = schedule(self._experiment, self._settings.seed)
        over: Course | None = None
        try:
            with ExitStack() as stack:
                course = Course(self._scene(stack))
                course.run(plan)
                over = course
        except HoldfastError as error:
            if over is None:
                raise
            # All is recorded by then: what cannot be cleared away changes no claim.
            over.scene.trouble.append(f"not all could be cleared away: {'; then '.join(_chain(error))}")
        return over

    def _scene(self, stack: ExitStack) -> Scene:
        """Start what is there before the first topic, and let it end with the stack."""
        recorder = stack.enter_context(Recorder(self._settings.folder / RECORDINGS, "runner"))
        gates = self._gates()
        if gates is not None:
            stack.enter_context(gates)
        lab = self._lab or stack.enter_context(self._own_lab())
        experiment, settings = adapted(self._experiment, self._settings, lab)
        return Scene.of(experiment, settings, lab, gates, recorder, self._told)

    def _own_lab(self) -> Lab:
        self._told.phase("start the brokers")
        return lab_of(self._experiment, self._settings, self._progress)

    def _gates(self) -> Gates | None:
        """What stands before the sinks that a fault is aimed at; before the workers, who are led there."""
        if self._settings.application is None:
            return None
        topology = self._settings.application.topology
        names = sinks_to_gate(self._experiment, topology.sinks)
        return Gates(topology, names, self._settings.seed) if names else None


def _chain(error: BaseException | None) -> Iterator[str]:
    """What went wrong while the steps of an end were done, from the first on: each hides the one before."""
    if isinstance(error, HoldfastError):
        yield from _chain(error.__context__)
        yield str(error)


def _judged(course: Course) -> tuple[InvariantResult, ...]:
    scene = course.scene
    history = _sealed(course)
    evidence = Evidence(
        scene.experiment,
        history,
        scene.workload.plan,
        course.ends.partitions,
        is_complete=course.is_complete,
        checks=course.ends.checks,
    )
    return judge(evidence)


def _sealed(course: Course) -> History | None:
    """The history of a run, and its counts with it; None, and trouble, if there is no room for it."""
    scene = course.scene
    history: History | None = None
    try:
        history = seal(
            scene.settings.folder / RECORDINGS,
            scene.settings.folder / HISTORY,
            about={"experiment": scene.experiment.name, "seed": scene.settings.seed},
        )
        course.counts["unknown"] = history.unknown_sends
        if scene.experiment.workload.kind == RAW:
            course.counts |= counts_of_sends(history)
    except HistoryError as error:
        what = "sealed" if history is None else "counted"
        scene.trouble.append(f"the history could not be {what}: {error}")
    return history


def _kafka(experiment: Experiment) -> str:
    """Which Kafka was run, in words."""
    if experiment.cluster.kind == "external":
        return f"that of {experiment.cluster.bootstrap_servers}"
    older = experiment.upgrade_from
    return f"{older}, upgraded to {kafka_version()}" if older else kafka_version()


def _result(
    course: Course, invariants: tuple[InvariantResult, ...], wall: datetime, whole_s: float
) -> RunResult:
    scene, zero = course.scene, course.broken.zero
    experiment = scene.experiment
    return RunResult(
        experiment=experiment.name,
        description=experiment.description,
        file=str(experiment.source.path),
        seed=scene.settings.seed,
        command=scene.settings.command,
        began=wall.isoformat(timespec="seconds"),
        machine=describe_machine(),
        versions=versions(_kafka(experiment)),
        workload={
            **declared_facts(experiment),
            **scene.workload.facts,
            "brokers": experiment.cluster.brokers,
            "network": experiment.cluster.network,
        },
        load_s=round(course.load_s, 1),
        whole_s=round(whole_s, 1),
        counts=course.counts,
        invariants=invariants,
        trouble=tuple(scene.trouble),
        faults=fault_spans(course.broken.faults, zero),
        recovery=course.recovery(),
        samples=course.samples(),
        shards=shards_of(scene.groups),
        owners=scene.parts.owners.as_spans(zero),
        leaders=scene.parts.leaders.as_spans(zero),
        breakers=course.breakers.as_spans(zero),
    )
