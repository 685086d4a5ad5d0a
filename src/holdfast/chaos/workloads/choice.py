"""Which workload an experiment asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast.chaos.clients.loop.orders import Control
from holdfast.chaos.experiment import Experiment
from holdfast.chaos.workloads.base import Workload
from holdfast.chaos.workloads.plans import PLANS
from holdfast.chaos.workloads.processed import ProcessedWorkload
from holdfast.chaos.workloads.raw import RawWorkload

KINDS = (*PLANS, "raw")
"""The workloads that can be made."""

RECORDINGS = "recordings"
"""Folder of a run in which everybody records."""


def make_workload(
    experiment: Experiment, servers: str, folder: Path, *, seed: int, prefix: str, control: Control
) -> Workload:
    """Make the workload of an experiment.

    Args:
        experiment: what it asks for; its kind is one of `KINDS`.
        servers: the brokers.
        folder: of the run.
        seed: of the run.
        prefix: begins the names of its topics and groups.
        control: what is done on purpose to engines that are loops.
    """
    wanted, application = experiment.workload, folder / "application"
    if wanted.kind == "raw":
        return RawWorkload(
            servers,
            folder / RECORDINGS,
            application / "logs",
            partitions=wanted.partitions,
            replication=experiment.replication,
            rate=wanted.rate,
            clients=wanted.workers,
            seed=seed,
            prefix=prefix,
        )
    return ProcessedWorkload(
        PLANS[wanted.kind],
        application,
        servers,
        partitions=wanted.partitions,
        replication=experiment.replication,
        options=processor_options(experiment),
        engine=wanted.engine,
        prefix=prefix,
        seed=seed,
        control=control,
    )


def processor_options(experiment: Experiment) -> Mapping[str, Any]:
    """The keys of the processor, as a topology has them."""
    processor = experiment.workload.processor
    return {
        "commit_interval": f"{processor.commit_interval_ms}ms",
        "session_timeout": f"{processor.session_timeout_ms}ms",
        "cache_entries": processor.cache_entries,
        "standby": experiment.workload.standby,
    }
