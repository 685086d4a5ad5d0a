"""The worker's real code on simulated brokers: whatever happens, each record counts exactly once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from holdfast.testing.simulation.mutants import MUTANTS, mutated
from holdfast.testing.simulation.runs import failure_of, traced

SEEDS = int(os.environ.get("HOLDFAST_SIMULATIONS", "200"))
CHUNK = 25

WITHIN = 1_000
"""Seeds within which every mutant must be caught."""

QUICK = (
    "metadata-cached",
    "checkpoint-before-commit",
    "restore-to-last-record",
    "offsets-outside",
    "replay-writes-again",
)
"""Mutants that a few seeds catch, for every run of the tests."""

TARGETED = ("offsets-unanswered", "standby-taken-as-it-is")
"""Mutants whose moment is too short for faults by chance; `test_late_offsets` and `test_slow_standbys` aim at
them."""


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_each_record_counts_once_whatever_happens(first: int) -> None:
    """Kills, stops, cut networks, lost and late requests, broken disks, at every step; by the seed."""
    for seed in range(first, min(first + CHUNK, SEEDS)):
        failure = failure_of(seed)
        assert failure is None, str(failure)


def caught_at(mutant: str, seeds: range) -> int | None:
    """The first seed that catches a mutant."""
    with mutated(mutant):
        return next((seed for seed in seeds if failure_of(seed) is not None), None)


@pytest.mark.parametrize("mutant", QUICK)
def test_an_obvious_mutant_is_caught_at_once(mutant: str) -> None:
    """A simulation that finds nothing proves nothing: it must find known mistakes."""
    assert caught_at(mutant, range(40)) is not None


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", sorted(set(MUTANTS) - set(QUICK) - set(TARGETED)))
def test_every_mutant_is_caught_within_a_thousand_seeds(mutant: str) -> None:
    """Also those that need two rare events at the same time."""
    assert caught_at(mutant, range(WITHIN)) is not None


def test_a_mutated_engine_is_whole_again_afterwards() -> None:
    """Patches end with their block: what a mutant fails with, the real code passes."""
    with mutated("overlay-kept"):
        seed = next(seed for seed in range(40) if failure_of(seed) is not None)
    assert failure_of(seed) is None


def test_a_failure_names_the_command_that_repeats_it() -> None:
    """One line, ready to be pasted; its trace ends with the same problems."""
    with mutated("overlay-kept"):
        failure = next(f for seed in range(40) if (f := failure_of(seed, "overlay-kept")) is not None)
    command = str(failure).rpartition("repeat it: ")[2]
    program, *arguments = command.split()
    assert program == "python"
    shown = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True).stdout
    assert str(failure) in shown


@pytest.mark.parametrize("seed", [3, 4])
def test_a_seed_repeats_its_run_event_by_event(seed: int) -> None:
    """In another process too, where sets and dicts of text have another order."""
    code = f"from holdfast.testing.simulation.runs import traced\nprint('\\n'.join(traced({seed})))"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert other.stdout.splitlines() == "\n".join(traced(seed)).splitlines()
