"""Offsets whose request comes late get into no other transaction than their own."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.testing.simulation.brokers import OFFSETS_TOPIC, Brokers
from holdfast.testing.simulation.mutants import mutated
from holdfast.testing.simulation.runs import fold_run
from holdfast.testing.simulation.simulation import SimulationFailed

SEEDS = range(35)


@pytest.fixture
def late_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a third of the offsets wait for seconds on their way, longer than their client waits."""
    original = Brokers.send

    def send(self: Brokers, process: Any, place: Any, do: Any, answered: Any) -> None:
        is_offsets = place.topic == OFFSETS_TOPIC and "send_offsets" in do.__qualname__
        if is_offsets and self.kernel.now < 10.0 and self.kernel.rng.random() < 0.3:
            delay = self.kernel.rng.uniform(0.8, 4.0)
            self.late_until = max(self.late_until, self.kernel.now + delay)
            self.kernel.at(delay, self._arrive, process, place, do, answered)
        else:
            original(self, process, place, do, answered)

    monkeypatch.setattr(Brokers, "send", send)


def problems_of(seed: int) -> list[str]:
    """What is wrong with a run whose calls time out after a second."""
    simulation = fold_run(seed)
    simulation._timeout = 1.0
    try:
        simulation.run()
    except SimulationFailed as failed:
        return failed.problems
    return []


@pytest.mark.usefixtures("late_offsets")
def test_offsets_without_an_answer_get_into_no_other_transaction() -> None:
    """The client that sent them is never used again, and its successor's epoch refuses them.

    Found by the simulation: after an abort, the next transaction on the same client committed positions of
    the aborted one.
    """
    assert [problems_of(seed) for seed in SEEDS] == [[] for _ in SEEDS]


@pytest.mark.usefixtures("late_offsets")
def test_an_abort_would_not_do() -> None:
    """The client goes on after the abort: positions of records that were never handled are committed."""
    with mutated("offsets-unanswered"):
        found = next((found for seed in range(200) if (found := problems_of(seed))), None)
    assert found
