"""Faults and whole experiments from a test."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast.chaos.experiment import KINDS, Experiment, explain, load, schedule
from holdfast.chaos.kit.application import ApplicationUnderTest
from holdfast.chaos.kit.possible import require_here
from holdfast.chaos.lab.base import Lab
from holdfast.chaos.lab.workers import Workers
from holdfast.chaos.run.claims import Claims
from holdfast.chaos.run.facts import facts_of_this_machine
from holdfast.chaos.run.faults import FaultMaker
from holdfast.chaos.run.nemesis import Done, Nemesis
from holdfast.chaos.run.parts import Holders, Observation, asked_of
from holdfast.chaos.run.possible import require_possible
from holdfast.chaos.run.result import RunResult
from holdfast.chaos.run.runner import Runner
from holdfast.chaos.run.settings import RunSettings, Untold
from holdfast.chaos.run.surroundings import Surroundings
from holdfast.chaos.run.whom import Whom
from holdfast.chaos.workloads.application_check import fault_problems
from holdfast.errors import ChaosError, ExperimentErrors, FaultFailed

BEGIN_S = 60.0
"""Seconds for a fault to have happened: its target is looked up, and it proves itself."""

ROLL_S = 600.0
"""The same for one that has happened when all servers were restarted, one after the other."""

_LOOK_S = 0.02
_LONGEST = "1h"


class Chaos:
    """Breaks the brokers and workers of a test, and undoes it.

    Args:
        lab: starts the brokers, when the first fault needs them.
        folder: for experiments and their results.
        application: the application under test, for targets such as `leader`; None if there is none.
    """

    def __init__(
        self, lab: Callable[[], Lab], folder: Path, application: Callable[[], ApplicationUnderTest | None]
    ) -> None:
        self._lab = lab
        self._folder = folder
        self._application = application
        self._made = 0
        # A fault within the block of another one must not undo it.
        self._claims = Claims()

    def run(self, experiment: Path | str | Mapping[str, Any], *, seed: int = 0) -> RunResult:
        """Run a whole experiment, on brokers of its own.

        Args:
            experiment: a file, or what it would hold; name and description are not needed there.
            seed: which of its runs.

        Raises:
            ExperimentErrors: it holds mistakes.
            ChaosError: it cannot be run here; says what is missing.
        """
        loaded = load(Path(experiment)) if isinstance(experiment, str | Path) else self._loaded(experiment)
        missing = explain(loaded, facts_of_this_machine())
        if missing:
            raise ChaosError(missing)
        application = require_possible(loaded)
        place = self._place()
        command = f"pytest, results in {place}"
        return Runner(loaded, RunSettings(seed, place, command, application=application), Untold()).run()

    @contextmanager
    def fault(self, kind: str, target: str | None = None, **parameters: object) -> Iterator[Done]:
        """Let a fault last while the block does.

        Args:
            kind: as experiments name it: `broker.kill`, `network.partition`, ...
            target: whom it hits: `leader`, `broker-2`, `owner of shard 3`, ...
            parameters: the kind's own keys: `delay="50ms"`, ...

        Yields:
            What was done: whom it hit, and the evidence.

        Raises:
            ExperimentErrors: there is no such fault or role, or nothing in the application that it could hit.
            ChaosError: the application has no workers now.
            FaultFailed: it did not happen, or could not be undone.
        """
        lab, application = self._lab(), self._application()
        gates = application.gates if application is not None else None
        if (known := KINDS.get(kind)) is not None:
            require_here(known, parameters, lab, application)
        loaded = self._loaded(self._one(lab, application, kind, target, parameters))
        if application is not None:
            _require_fitting(loaded, application)
        [planned] = schedule(loaded, 0)
        with self._surroundings(lab, application) as surroundings:
            maker = FaultMaker(lab, surroundings.workers, Whom(surroundings), gates)
            plan, now = [planned], time.monotonic()
            with Nemesis(plan, maker, lab.journal, now, until_stopped=True, claims=self._claims) as nemesis:
                done = _await_begin(nemesis, ROLL_S if planned.kind.open_end else BEGIN_S)
                yield done
        if done.error:
            raise FaultFailed(done.error)

    def _one(
        self,
        lab: Lab,
        application: ApplicationUnderTest | None,
        kind: str,
        target: str | None,
        parameters: Mapping[str, object],
    ) -> dict[str, Any]:
        known = KINDS.get(kind)
        fault: dict[str, Any] = {"at": "0s", "fault": kind, **parameters}
        if target is not None:
            fault["target"] = target
        if known is None or known.lasts:
            # It ends with the block; this is only what the file has to say.
            fault["for"] = _LONGEST
        setting = [known.setting] if known is not None and known.setting is not None else []
        workload: dict[str, Any] = {"kind": "sequence", "workers": 64, "partitions": 1_000}
        if application is not None:
            workload = {"kind": "application", "topology": str(application.topology.source.path.resolve())}
        return {
            "cluster": {"kind": lab.kind, **dict(setting)},
            "workload": workload,
            "time_limit": "2h",
            "faults": [fault],
            "invariants": ["no-lost-writes"],
        }

    def _loaded(self, content: Mapping[str, Any]) -> Experiment:
        file = self._place() / "experiment.yaml"
        head = {"name": "test", "description": "An experiment of a test."}
        file.write_text(json.dumps({**head, **content}, indent=1), encoding="utf-8")
        return load(file)

    def _place(self) -> Path:
        self._made += 1
        place = self._folder / f"chaos-{self._made}"
        place.mkdir(parents=True)
        return place

    @contextmanager
    def _surroundings(self, lab: Lab, application: ApplicationUnderTest | None) -> Iterator[Surroundings]:
        if application is None:
            yield Surroundings.of(lab, Workers({}, {}), Holders(), None)
            return
        running, groups = application.workers, application.groups
        with Observation(asked_of(lab.bootstrap_servers, application.source, groups)) as seen:
            _await_owners(seen, sum(group.source.partitions for group in groups if group.members))
            yield Surroundings.of(lab, running, seen.owners, application, groups)


def _require_fitting(experiment: Experiment, application: ApplicationUnderTest) -> None:
    """Refuse a fault of what the application has not got, or of workers before there are any.

    Raises:
        ExperimentErrors: with what there is instead.
        ChaosError: it has no workers now.
    """
    problems = tuple(fault_problems(experiment, application.topology, application.workers_each))
    if problems:
        raise ExperimentErrors(experiment.source.report(problems))


def _await_owners(seen: Observation, shards: int) -> None:
    """Wait until the owner of every shard is known: targets may be about them."""
    deadline = time.monotonic() + BEGIN_S
    while len(seen.owners.spans) < shards and time.monotonic() < deadline:
        time.sleep(_LOOK_S)


def _await_begin(nemesis: Nemesis, within: float) -> Done:
    deadline = time.monotonic() + within
    while True:
        if nemesis.done:
            done = nemesis.done[0]
            if done.error:
                raise FaultFailed(done.error)
            if done.left_out:
                raise FaultFailed(f"{done.planned.kind.name} was not done: {done.left_out}")
            if "begin" in done.evidence:
                return done
        if time.monotonic() > deadline:
            raise FaultFailed(f"the fault had not begun after {within:.0f} s")
        time.sleep(_LOOK_S)
