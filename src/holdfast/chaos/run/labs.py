"""The brokers that an experiment asks for."""

from __future__ import annotations

from dataclasses import replace

from holdfast.chaos.experiment import Experiment
from holdfast.chaos.lab.base import Lab
from holdfast.chaos.lab.containers import ContainerLab
from holdfast.chaos.lab.embedded import EmbeddedLab, LabSettings
from holdfast.chaos.lab.external import ExternalLab
from holdfast.chaos.run.settings import RunSettings
from holdfast.chaos.workloads.choice import worker_names
from holdfast.local.progress import Progress
from holdfast.topology import ResolvedTopology


def lab_of(experiment: Experiment, settings: RunSettings, progress: Progress) -> Lab:
    """Brokers for one run, which are still to be started."""
    cluster = experiment.cluster
    if cluster.kind == "containers":
        return ContainerLab(cluster.brokers, progress)
    if cluster.kind == "external":
        assert cluster.bootstrap_servers is not None, "the experiment was checked"
        session_s = experiment.workload.processor.session_timeout_ms / 1000
        return ExternalLab(cluster.bootstrap_servers, session_s)
    return EmbeddedLab(lab_settings(experiment, settings.seed, settings.application), progress)


def lab_settings(
    experiment: Experiment, seed: int, application: ResolvedTopology | None = None
) -> LabSettings:
    """The embedded brokers that an experiment needs. Other runs of it can have the same ones."""
    cluster = experiment.cluster
    return LabSettings(
        brokers=cluster.brokers,
        isolated=cluster.network == "isolated",
        small_disks=cluster.disk == "small",
        clocks=any(each.kind.name.startswith("clock.") for each in experiment.faults),
        workers=worker_names(most_workers(experiment), application),
        overrides={name: str(value) for name, value in cluster.broker_config.items()},
        seed=seed,
        release=experiment.upgrade_from,
    )


def adapted(experiment: Experiment, settings: RunSettings, lab: Lab) -> tuple[Experiment, RunSettings]:
    """Both as they are on these brokers, which run.

    A cluster of others has as many brokers as it has, and all names begin with the lab's prefix there.
    """
    if not isinstance(lab, ExternalLab):
        return experiment, settings
    found = experiment.cluster.model_copy(update={"brokers": len(lab.brokers.names)})
    return replace(experiment, cluster=found), replace(settings, prefix=lab.prefix)


def most_workers(experiment: Experiment) -> int:
    """How many workers there are at most, with those that a fault adds."""
    added = [fault.parameters.get("to") for fault in experiment.faults if fault.kind.name == "worker.scale"]
    return max([experiment.workload.workers, *(int(str(count)) for count in added if count is not None)])
