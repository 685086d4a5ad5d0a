"""Freezes that would end in a kill: a supervisor takes a worker that is silent for one that hangs."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.chaos.experiment import Experiment
from holdfast.chaos.experiment.words import span_text
from holdfast.chaos.workloads.choice import RAW
from holdfast.chaos.workloads.processed import HOLDFAST
from holdfast.declaration.source import Location, Problem
from holdfast.runtime.launch import HUNG_S
from holdfast.topology import ResolvedTopology

_FREEZE = "worker.freeze"
_HUNG_MS = round(HUNG_S * 1000)


def freeze_problems(experiment: Experiment, application: ResolvedTopology | None) -> Iterator[Problem]:
    """Yield freezes that workers do not live through, where their length stands in the experiment's file."""
    if not _are_all_of_holdfast(experiment, application):
        return
    for number, timed in enumerate(experiment.time_line):
        if timed.fault.kind.name == _FREEZE and timed.for_ms is not None and timed.for_ms >= _HUNG_MS:
            yield _problem(("faults", number, "for"), span_text(timed.for_ms))
    mix = experiment.mix
    may_freeze = any(choice.fault.kind.name == _FREEZE for choice in experiment.choices)
    if mix is not None and may_freeze and mix.lasting.max_ms >= _HUNG_MS:
        yield _problem(("random", "for"), f"up to {span_text(mix.lasting.max_ms)}")


def _are_all_of_holdfast(experiment: Experiment, application: ResolvedTopology | None) -> bool:
    """Whether every worker has such a supervisor. One of Faust may be frozen for as long as one likes."""
    if application is not None:
        return application.topology.native.keys() == application.topology.processors.keys()
    return experiment.workload.kind != RAW and experiment.workload.engine == HOLDFAST


def _problem(at: Location, lasting: str) -> Problem:
    silent = span_text(_HUNG_MS)
    text = (
        f"{lasting}: a worker of Holdfast that is silent for {silent} is killed by its supervisor and "
        f"started again, so that this would be no `{_FREEZE}`; keep it below {silent}"
    )
    return Problem(at, text)
