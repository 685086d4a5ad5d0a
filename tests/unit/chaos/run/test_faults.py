"""From a planned fault of sinks to the fault."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from holdfast.chaos.experiment import Experiment, PlannedFault, schedule
from holdfast.chaos.experiment.load import build
from holdfast.chaos.faults.fault import Fault
from holdfast.chaos.faults.sinks import ServiceWrong, SystemDown, SystemSlow
from holdfast.chaos.gates.manners import Counts, Kind, Manner
from holdfast.chaos.run.faults import FaultMaker
from holdfast.chaos.run.whom import sinks_to_gate
from holdfast.declaration.source import parse
from holdfast.errors import FaultFailed

TEXT = """
name: one
description: For tests.
workload: {kind: application, topology: nowhere.yaml}
time_limit: 60s
invariants: [application-checks]
faults:
  - {at: 0s, fault: sink.down, for: 1s}
  - {at: 2s, fault: sink.slow, target: sink gateway, delay: 300ms, for: 1s}
  - {at: 4s, fault: sink.wrong, target: sink gateway, share: 0.25, for: 1s}
"""


class SomeGates:
    """Gates that only note how they are to behave."""

    names = ("gateway", "cache")

    def __init__(self) -> None:
        self.manners: list[tuple[str, Manner]] = []

    def become(self, name: str, manner: Manner) -> int:
        self.manners.append((name, manner))
        return 0

    def counts(self, _name: str) -> Counts:
        return Counts(held=len(self.manners), wrong_left=len(self.manners))

    def ports(self, _name: str) -> tuple[int, ...]:
        return ()


def experiment(text: str = TEXT) -> Experiment:
    """An experiment with a fault of each kind."""
    return build(parse(text.encode(), Path("one.yaml")))


def planned() -> tuple[PlannedFault, ...]:
    """One fault of each kind."""
    return schedule(experiment(), 0)


def maker(gates: SomeGates | None) -> FaultMaker:
    """A maker that has nothing but gates."""
    lab = SimpleNamespace(clocks=None)
    return FaultMaker(cast("Any", lab), cast("Any", None), cast("Any", None), cast("Any", gates))


@pytest.mark.parametrize(
    ("number", "kind", "hit", "manner"),
    [
        (0, SystemDown, ("gateway", "cache"), Manner(Kind.DOWN)),
        (1, SystemSlow, ("gateway",), Manner(Kind.SLOW, delay_s=0.3)),
        (2, ServiceWrong, ("gateway",), Manner(Kind.WRONG, share=0.25)),
    ],
)
def test_a_planned_fault_becomes_the_manner_of_its_gates(
    number: int, kind: type[Fault], hit: tuple[str, ...], manner: Manner
) -> None:
    """And every gate is open again at its end."""
    gates = SomeGates()
    aimed = maker(gates).make(planned()[number])
    assert isinstance(aimed.fault, kind)
    assert aimed.hit == hit
    aimed.fault.begin()
    assert gates.manners == [(name, manner) for name in hit]
    aimed.fault.end()
    assert gates.manners[len(hit) :] == [(name, Manner()) for name in hit]
    assert aimed.fault.undo() == ()


def test_a_workload_without_sinks_has_no_such_faults() -> None:
    with pytest.raises(FaultFailed, match=r"sink\.down is not possible: this workload has no sinks"):
        maker(None).make(planned()[0])


def test_gates_stand_before_the_sinks_that_faults_are_aimed_at() -> None:
    """All of them for `all`, in the order of the topology; others are left alone."""
    assert sinks_to_gate(experiment(), ("cache", "gateway")) == ("cache", "gateway")
    named = TEXT.replace("sink.down, for", "sink.down, target: sink gateway, for")
    assert sinks_to_gate(experiment(named), ("cache", "gateway")) == ("gateway",)
