"""A fault of several sinks is proven for each of them by what happened at its own gate."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.chaos.faults.fault import Fault
from holdfast.chaos.faults.sinks import ServiceWrong, SystemDown, SystemSlow
from holdfast.chaos.gates.manners import Counts, Manner
from holdfast.errors import NothingMet

NAMES = ("busy", "idle")


class SomeGates:
    """Gates of which this happens at each while a fault lasts."""

    def __init__(self, **meanwhile: Counts) -> None:
        self._meanwhile = meanwhile
        self._looks = 0

    def become(self, _name: str, _manner: Manner) -> int:
        return 0

    def counts(self, name: str) -> Counts:
        self._looks += 1
        return Counts() if self._looks <= len(NAMES) else self._meanwhile.get(name, Counts())

    def ports(self, _name: str) -> tuple[int, ...]:
        return ()


def slow(gates: Any) -> Fault:
    """What sinks say is late."""
    return SystemSlow(gates, NAMES, 0.3)


def wrong(gates: Any) -> Fault:
    """Calls are answered wrongly."""
    return ServiceWrong(gates, NAMES, 0.5)


@pytest.mark.parametrize(
    ("make", "happened"), [(slow, Counts(held=3, longest_s=0.3)), (wrong, Counts(calls=4, wrong_left=2))]
)
def test_a_sink_at_whose_gate_nothing_happened_was_not_met(make: Any, happened: Counts) -> None:
    """That another one was busy proves nothing for it."""
    fault = make(SomeGates(busy=happened))
    fault.begin()
    fault.end()
    assert fault.met(NAMES) == ("busy",)


@pytest.mark.parametrize("make", [slow, wrong])
def test_where_nothing_happened_at_any_gate_there_was_no_fault(make: Any) -> None:
    fault = make(SomeGates())
    fault.begin()
    with pytest.raises(NothingMet):
        fault.end()


def test_a_sink_that_refuses_connections_is_met_whether_it_is_busy_or_not() -> None:
    """The lab has tried it."""
    gates: Any = SomeGates(busy=Counts(reset=1))
    fault = SystemDown(gates, NAMES)
    fault.begin()
    fault.end()
    assert fault.met(NAMES) == NAMES
