"""Which workload an experiment asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast.chaos.clients.loop.orders import Control
from holdfast.chaos.experiment import Experiment
from holdfast.chaos.gates.gates import Gates
from holdfast.chaos.lab.workers import worker_name
from holdfast.chaos.workloads.application import ApplicationWorkload
from holdfast.chaos.workloads.application_check import arguments_of
from holdfast.chaos.workloads.application_parts import load_application, slots_of
from holdfast.chaos.workloads.base import Workload
from holdfast.chaos.workloads.plans import PLANS
from holdfast.chaos.workloads.processed import ProcessedWorkload
from holdfast.chaos.workloads.raw import RawWorkload
from holdfast.errors import ChaosError
from holdfast.topology import ResolvedTopology

APPLICATION, RAW = "application", "raw"

RECORDINGS = "recordings"
"""Folder of a run in which everybody records."""


def make_workload(
    experiment: Experiment,
    servers: str,
    folder: Path,
    *,
    seed: int,
    prefix: str,
    control: Control,
    application: ResolvedTopology | None = None,
    gates: Gates | None = None,
) -> Workload:
    """Make the workload of an experiment.

    Args:
        experiment: what it asks for.
        servers: the brokers.
        folder: of the run.
        seed: of the run.
        prefix: begins the names of its topics and groups.
        control: what is done on purpose to engines that are loops.
        application: what the workload `application` is about; see `application_of`.
        gates: what stands before an application's sinks.

    Raises:
        ChaosError: an application is to share brokers, on which it could not have names of its own.
    """
    wanted, home = experiment.workload, folder / "application"
    if wanted.kind == APPLICATION:
        if prefix:
            raise ChaosError(
                "an application has the names that its topology says, so it cannot share brokers"
            )
        assert application is not None, "who runs an application has read it"
        return ApplicationWorkload(
            application,
            home,
            servers,
            workers=wanted.workers,
            fresh_s=experiment.steady_state.fresh_within_ms / 1000,
            output=wanted.output,
            arguments=arguments_of(experiment, application),
            checks=wanted.checks,
            gates=gates,
        )
    if wanted.kind == RAW:
        return RawWorkload(
            servers,
            folder / RECORDINGS,
            home / "logs",
            partitions=wanted.partitions,
            replication=experiment.replication,
            rate=wanted.rate,
            clients=wanted.workers,
            seed=seed,
            prefix=prefix,
        )
    return ProcessedWorkload(
        PLANS[wanted.kind],
        home,
        servers,
        partitions=wanted.partitions,
        replication=experiment.replication,
        options=processor_options(experiment),
        engine=wanted.engine,
        prefix=prefix,
        seed=seed,
        control=control,
    )


def application_of(experiment: Experiment) -> ResolvedTopology | None:
    """Read the application that an experiment is about; None if it is about none.

    For a whole run it is read once: its file may change meanwhile, and gates, hosts and load have to agree.

    Raises:
        TopologyErrors: whatever is wrong in its file.
    """
    file = experiment.topology_file
    if experiment.workload.kind != APPLICATION or file is None:
        return None
    return load_application(file)


def worker_names(workers: int, application: ResolvedTopology | None) -> tuple[str, ...]:
    """What so many workers are called: of each processor, where they are an application's."""
    if application is not None:
        return tuple(it.name for it in slots_of(application.topology, workers))
    return tuple(map(worker_name, range(workers)))


def declared_facts(experiment: Experiment) -> Mapping[str, Any]:
    """What an experiment says of its workload, for a report."""
    wanted = experiment.workload
    if wanted.kind == RAW:
        # Its clients write and read by themselves: no engine works, and records have no keys.
        return {name: getattr(wanted, name) for name in ("kind", "rate", "workers", "partitions")}
    facts = {"kind": wanted.kind, "engine": wanted.engine, "rate": wanted.rate, "workers": wanted.workers}
    if wanted.kind != APPLICATION:
        facts |= {"keys": wanted.keys, "partitions": wanted.partitions, "standby": wanted.standby}
        facts |= processor_options(experiment)
    return facts


def processor_options(experiment: Experiment) -> Mapping[str, Any]:
    """The keys of the processor, as a topology has them."""
    processor = experiment.workload.processor
    return {
        "commit_interval": f"{processor.commit_interval_ms}ms",
        "session_timeout": f"{processor.session_timeout_ms}ms",
        "cache_entries": processor.cache_entries,
        "standby": experiment.workload.standby,
    }
