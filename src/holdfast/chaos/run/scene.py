"""What all phases of one run share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from holdfast.chaos.clients.output_watch import OutputWatch
from holdfast.chaos.experiment import Experiment
from holdfast.chaos.gates.gates import Gates
from holdfast.chaos.history import Recorder
from holdfast.chaos.lab.base import Lab
from holdfast.chaos.lab.workers import Workers
from holdfast.chaos.run.labs import most_workers
from holdfast.chaos.run.parts import Observation, asked_of
from holdfast.chaos.run.settings import RunSettings, Told
from holdfast.chaos.workloads.base import Workload
from holdfast.chaos.workloads.choice import make_workload
from holdfast.chaos.workloads.groups import GroupPlan


@dataclass(frozen=True)
class Scene:
    """Who plays, and who looks on.

    Attributes:
        experiment: what is done.
        settings: how.
        lab: the brokers, which run.
        gates: what stands before the application's sinks; None if nothing does.
        recorder: takes the history.
        told: told how it goes on.
        trouble: takes what goes wrong in the run itself, in words.
        workload: whose topics, workers and events they are.
        groups: its consumer groups; the first one is that of roles.
        workers: its workers, which are still to be started.
        watch: reads the output.
        parts: sees who has which part, and what waits.
    """

    experiment: Experiment
    settings: RunSettings
    lab: Lab
    gates: Gates | None
    recorder: Recorder
    told: Told
    trouble: list[str]
    workload: Workload
    groups: Sequence[GroupPlan]
    workers: Workers
    watch: OutputWatch
    parts: Observation

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        settings: RunSettings,
        lab: Lab,
        gates: Gates | None,
        recorder: Recorder,
        told: Told,
    ) -> Self:
        """Put it together; nothing is started.

        Raises:
            ChaosError: an application is to share brokers, on which it could not have names of its own.
        """
        servers, most = lab.bootstrap_servers, most_workers(experiment)
        workload = make_workload(
            experiment,
            servers,
            settings.folder,
            seed=settings.seed,
            prefix=settings.prefix,
            control=settings.control,
            application=settings.application,
            gates=gates,
        )
        groups = workload.groups(most)
        return cls(
            experiment,
            settings,
            lab,
            gates,
            recorder,
            told,
            [],
            workload,
            groups,
            Workers(workload.specs(most), workload.shards),
            OutputWatch(servers, *workload.watched, workload.fresh_s),
            Observation(asked_of(servers, workload.source, groups)),
        )

    def start_workers(self) -> None:
        """Start those that are to be up and are not."""
        for name in self.workload.names(self.experiment.workload.workers):
            self.workers.start(name)
