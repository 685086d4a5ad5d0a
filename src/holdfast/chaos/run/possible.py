"""What the runner can do of what experiments can say."""

from __future__ import annotations

import importlib.util

from holdfast.chaos.clients.loop.orders import AT_LEAST_ONCE, CLIENT
from holdfast.chaos.experiment import Experiment
from holdfast.chaos.workloads.choice import KINDS
from holdfast.errors import ChaosError
from holdfast.extras import with_extra

ENGINES = ("holdfast", CLIENT, AT_LEAST_ONCE)
"""Engines that can be started."""


def require_possible(experiment: Experiment) -> None:
    """Refuse an experiment that this version cannot run.

    Raises:
        ChaosError: says what of it.
    """
    source, workload = experiment.source, experiment.workload
    wrong = []
    if experiment.cluster.kind == "external":
        wrong.append((("cluster", "kind"), f"a cluster of kind `{experiment.cluster.kind}`"))
    if workload.kind not in KINDS:
        wrong.append((("workload", "kind"), f"a workload of kind `{workload.kind}`"))
    if workload.engine not in ENGINES:
        wrong.append((("workload", "engine"), f"the engine `{workload.engine}`"))
    if importlib.util.find_spec("duckdb") is None:
        raise ChaosError(f"histories are checked with the package duckdb: {with_extra('chaos')}")
    if wrong:
        lines = (
            f"{source.path}:{source.line(at)}: {what} cannot be run by this version" for at, what in wrong
        )
        raise ChaosError("\n".join(lines))
