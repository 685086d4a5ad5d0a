"""What the runner can do of what experiments can say."""

from __future__ import annotations

import os
from collections.abc import Iterator

from holdfast.chaos.clients import streams
from holdfast.chaos.clients.loop.orders import FAUST, FAUST_EXACTLY_ONCE
from holdfast.chaos.clients.streams import KAFKA_STREAMS
from holdfast.chaos.experiment import Experiment, Role, Target
from holdfast.chaos.run.freezes import freeze_problems
from holdfast.chaos.run.own import own_problems
from holdfast.chaos.workloads.application_check import application_problems
from holdfast.chaos.workloads.choice import APPLICATION, application_of
from holdfast.chaos.workloads.key_check import key_problems
from holdfast.declaration.source import Location, Problem
from holdfast.errors import ChaosError, ExperimentErrors, HoldfastError
from holdfast.extras import is_installed, with_extra
from holdfast.local.jars import older_releases
from holdfast.topology import ResolvedTopology

_ONLY_OURS = "bank"
"""It has one state that records of two topics change, under keys of their own. Faust has no such thing, and
nobody has written it for Kafka Streams."""


def require_possible(experiment: Experiment) -> ResolvedTopology | None:
    """Refuse an experiment that this version cannot run. The program of its engine is built if there is one.

    Returns:
        The application that it is about, as it was read for this; None if it is about none.

    Raises:
        ChaosError: says what of it, or what its engine lacks.
        ExperimentErrors: what it asks of its application that this has not got, a freeze that workers do not
            live through, fewer keys than its partitions take, or an invariant of its own that could be
            evaluated on no history.
        TopologyErrors: whatever is wrong in the application's file.
    """
    source, workload = experiment.source, experiment.workload
    wrong: list[tuple[Location, str]] = []
    application: ResolvedTopology | None = None
    if experiment.cluster.kind == "external" and workload.kind == APPLICATION:
        # Its topology names its topics and groups: nobody could tell them from those of others.
        wrong.append((("workload", "kind"), "an `application` on a cluster of kind `external`"))
    elif workload.kind == APPLICATION:
        application = _require_application(experiment)
    if workload.engine in (FAUST, FAUST_EXACTLY_ONCE, KAFKA_STREAMS) and workload.kind == _ONLY_OURS:
        wrong.append((("workload", "kind"), f"a `{workload.kind}` on the engine `{workload.engine}`"))
    if workload.engine in (FAUST, FAUST_EXACTLY_ONCE) and not is_installed("faust"):
        raise ChaosError(f"the engine `{workload.engine}` needs faust-streaming: {with_extra('faust')}")
    wrong += _upgrades(experiment)
    if not is_installed("duckdb"):
        raise ChaosError(f"histories are checked with the package duckdb: {with_extra('chaos')}")
    if problems := (
        *freeze_problems(experiment, application),
        *key_problems(experiment),
        *own_problems(experiment),
    ):
        raise ExperimentErrors(source.report(problems))
    if wrong:
        lines = (
            f"{source.path}:{source.line(at)}: {what} cannot be run by this version" for at, what in wrong
        )
        raise ChaosError("\n".join(lines))
    if workload.engine == KAFKA_STREAMS:
        _require_kafka_streams()
    return application


def _require_kafka_streams() -> None:
    try:
        streams.command()
    except HoldfastError as error:
        raise ChaosError(f"the engine `{KAFKA_STREAMS}` cannot work here: {error}") from error


def _upgrades(experiment: Experiment) -> Iterator[tuple[Location, str]]:
    """Upgrades from a release whose jars are not pinned, or from a second one: brokers begin with one.

    And those that would find brokers upgraded already: a second one, unless each names another broker.
    """
    known, upgraded = older_releases(), list[Target | None]()
    # None comes by chance: `broker.rolling` has no known end, and so is for time lines.
    for number, turn in enumerate(experiment.time_line):
        release, at = turn.fault.parameters.get("upgrade_from"), ("faults", number, "upgrade_from")
        if release is None:
            continue
        target = turn.fault.target
        if release not in known:
            yield at, f"an upgrade from Kafka {release} (there is one from {' and '.join(known)})"
        elif release != experiment.upgrade_from:
            yield at, f"an upgrade from Kafka {release} beside one from {experiment.upgrade_from}"
        elif turn.times > 1:
            yield at, "an upgrade with `times`, of brokers that are upgraded already,"
        elif any(_may_be_same(target, other) for other in upgraded):
            yield at, "a second upgrade of what may be the same brokers"
        upgraded.append(target)


def _may_be_same(one: Target | None, other: Target | None) -> bool:
    """Whether two targets may be the same broker: only those that are named are known before the run."""
    return (
        one is None or other is None or {one.role, other.role} != {Role.BROKER} or one.number == other.number
    )


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
