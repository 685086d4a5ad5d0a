"""What the runner can do of what experiments can say."""

from __future__ import annotations

from holdfast.chaos.clients.loop.orders import FAUST, FAUST_EXACTLY_ONCE
from holdfast.chaos.experiment import Experiment
from holdfast.chaos.run.verdicts import of_user
from holdfast.chaos.workloads.choice import KINDS
from holdfast.errors import ChaosError
from holdfast.extras import is_installed, with_extra

_NOT_IN_FAUST = "bank"
"""It has one state that records of two topics change, under keys of their own."""


def require_possible(experiment: Experiment) -> None:
    """Refuse an experiment that this version cannot run.

    Raises:
        ChaosError: says what of it; or a function that it names cannot be found.
    """
    source, workload = experiment.source, experiment.workload
    wrong: list[tuple[tuple[str, ...], str]] = []
    if experiment.cluster.kind == "external":
        wrong.append((("cluster", "kind"), f"a cluster of kind `{experiment.cluster.kind}`"))
    if workload.kind not in KINDS:
        wrong.append((("workload", "kind"), f"a workload of kind `{workload.kind}`"))
    if workload.engine in (FAUST, FAUST_EXACTLY_ONCE):
        if not is_installed("faust"):
            raise ChaosError(f"the engine `{workload.engine}` needs faust-streaming: {with_extra('faust')}")
        if workload.kind == _NOT_IN_FAUST:
            wrong.append((("workload", "kind"), f"a `{workload.kind}` on the engine `{workload.engine}`"))
        wrong += [
            (("faults",), f"{fault.kind.name} with `upgrade_from`")
            for fault in experiment.faults
            if fault.parameters.get("upgrade_from") is not None
        ]
    for invariant in experiment.own_invariants:
        of_user(invariant)
    if not is_installed("duckdb"):
        raise ChaosError(f"histories are checked with the package duckdb: {with_extra('chaos')}")
    if wrong:
        lines = (
            f"{source.path}:{source.line(at)}: {what} cannot be run by this version" for at, what in wrong
        )
        raise ChaosError("\n".join(lines))
