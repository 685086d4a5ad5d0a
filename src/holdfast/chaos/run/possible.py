"""What the runner can do of what experiments can say."""

from __future__ import annotations

import os
from collections.abc import Iterator

from holdfast.chaos.clients import streams
from holdfast.chaos.clients.loop.orders import FAUST, FAUST_EXACTLY_ONCE
from holdfast.chaos.clients.streams import KAFKA_STREAMS
from holdfast.chaos.experiment import Experiment
from holdfast.chaos.run.freezes import freeze_problems
from holdfast.chaos.run.own import own_problems
from holdfast.chaos.workloads.application_check import application_problems
from holdfast.chaos.workloads.choice import application_of
from holdfast.chaos.workloads.key_check import key_problems
from holdfast.chaos.workloads.topic_check import topic_problems
from holdfast.declaration.source import Problem
from holdfast.errors import ChaosError, ExperimentErrors, HoldfastError
from holdfast.extras import is_installed, with_extra
from holdfast.local.jars import older_releases
from holdfast.topology import ResolvedTopology


def require_possible(experiment: Experiment) -> ResolvedTopology | None:
    """Refuse an experiment that this version cannot run. The program of its engine is built if there is one.

    Returns:
        The application that it is about, as it was read for this; None if it is about none.

    Raises:
        ChaosError: says what its engine, or the check of its history, lacks.
        ExperimentErrors: what it asks of its application that this has not got, a freeze that workers do not
            live through, fewer keys than its partitions take, a partition that is not there, an invariant of
            its own that could be evaluated on no history, or an upgrade from a release that is not pinned.
        TopologyErrors: whatever is wrong in the application's file.
    """
    workload = experiment.workload
    application = _require_application(experiment)
    if workload.engine in (FAUST, FAUST_EXACTLY_ONCE) and not is_installed("faust"):
        raise ChaosError(f"the engine `{workload.engine}` needs faust-streaming: {with_extra('faust')}")
    if not is_installed("duckdb"):
        raise ChaosError(f"histories are checked with the package duckdb: {with_extra('chaos')}")
    if problems := (
        *freeze_problems(experiment, application),
        *key_problems(experiment),
        *topic_problems(experiment),
        *own_problems(experiment),
        *_upgrades(experiment),
    ):
        raise ExperimentErrors(experiment.source.report(problems))
    if workload.engine == KAFKA_STREAMS:
        _require_kafka_streams()
    return application


def _require_kafka_streams() -> None:
    try:
        streams.command()
    except HoldfastError as error:
        raise ChaosError(f"the engine `{KAFKA_STREAMS}` cannot work here: {error}") from error


def _upgrades(experiment: Experiment) -> Iterator[Problem]:
    """Upgrades from a release whose jars are not pinned."""
    known = older_releases()
    for number, turn in enumerate(experiment.time_line):
        release = turn.fault.parameters.get("upgrade_from")
        if release is not None and release not in known:
            text = f"there is no upgrade from Kafka {release}, only from {' and '.join(known)}"
            yield Problem(("faults", number, "upgrade_from"), text)


def _require_application(experiment: Experiment) -> ResolvedTopology | None:
    """Refuse what does not fit the application.

    Raises:
        TopologyErrors: whatever is wrong in its file.
        ExperimentErrors: what the experiment asks of it that it has not got.
    """
    file = experiment.topology_file
    # Not Path.is_file(): it raises for what can be no path at all, as it is too long.
    if file is not None and not os.path.isfile(file):
        text = f"there is no file {file}; give its path, seen from this file"
        raise ExperimentErrors(experiment.source.report([Problem(("workload", "topology"), text)]))
    application = application_of(experiment)
    problems = list(application_problems(experiment, application)) if application is not None else []
    if problems:
        raise ExperimentErrors(experiment.source.report(problems))
    return application
