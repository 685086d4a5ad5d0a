"""Standbys that are far behind when their shard is claimed: they are a beginning, and no more."""

from __future__ import annotations

from collections import Counter

import pytest

from holdfast.kafka.reader import PartitionReader
from holdfast.runtime.standby import Standbys
from holdfast.testing.simulation.mutants import mutated
from holdfast.testing.simulation.runs import failure_of

SEEDS = range(40)
EVERY = 200
"""Of so many turns of a worker's restorer, one lets its standbys begin to read. Each worker's are counted, so
that a seed has the same run whichever came before it."""


@pytest.fixture
def slow_standbys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let standbys that were opened begin to read seconds later."""
    original, turns = Standbys._resume, Counter[Standbys]()

    def resume(self: Standbys, reader: PartitionReader) -> None:
        turns[self] += 1
        if turns[self] % EVERY == 0:
            original(self, reader)

    monkeypatch.setattr(Standbys, "_resume", resume)


@pytest.mark.usefixtures("slow_standbys")
def test_a_standby_that_is_behind_costs_no_record() -> None:
    """What it lacks is read before the shard begins."""
    assert [str(found) for seed in SEEDS if (found := failure_of(seed)) is not None] == []


@pytest.mark.usefixtures("slow_standbys")
def test_one_that_is_taken_as_it_is_is_found_out() -> None:
    """Most are behind in nothing when they are claimed: faults by chance meet it in one run of a thousand."""
    with mutated("standby-taken-as-it-is"):
        found = next((seed for seed in SEEDS if failure_of(seed) is not None), None)
    assert found is not None
