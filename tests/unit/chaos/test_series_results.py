"""What a series of chaos runs keeps of each: a line in a file of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chaos.plan import Kind
from benchmarks.chaos.results import KeptRun, Results
from benchmarks.chaos.table import by_kind, recovery, verdicts
from tests.support.chaos_runs import Shape, invalid_run, valid_run

SEQUENCE, BANK = Kind("sequence", "holdfast"), Kind("bank", "holdfast")


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """A file that is not there yet."""
    return Results(tmp_path / "results.jsonl")


def test_a_run_that_was_kept_is_not_done_again(results: Results) -> None:
    """It is known by workload, engine and seed."""
    results.add(KeptRun.of(valid_run(Shape(seed=7)), SEQUENCE, "1a2b3c"))
    assert results.has(SEQUENCE, 7)
    assert not results.has(SEQUENCE, 8)
    assert not results.has(BANK, 7)


def test_what_is_read_is_what_was_kept_and_of_a_seed_the_last(results: Results) -> None:
    """A run that was repeated replaces the one before."""
    runs = [KeptRun.of(make(Shape(seed=7)), SEQUENCE, "1a2b3c") for make in (valid_run, invalid_run)]
    for run in runs:
        results.add(run)
    assert results.read() == runs[1:]
    assert runs[1].validity == "invalid"
    assert runs[1].problems == {"lost-write": 3, "duplicate": 12}


def test_a_line_that_is_no_run_is_named(results: Results, tmp_path: Path) -> None:
    """Nothing is skipped."""
    results.add(KeptRun.of(valid_run(), SEQUENCE, "1a2b3c"))
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"workload": "bank"}\n')
    with pytest.raises(ValueError, match=r"results\.jsonl:2: this is no run of a series"):
        results.read()


def test_the_tables_count_the_runs_of_each_workload() -> None:
    """One line for each, and one column of recoveries."""
    kept = [KeptRun.of(valid_run(Shape(seed=seed)), SEQUENCE, "1a2b3c") for seed in (1, 2)]
    kept.append(KeptRun.of(invalid_run(), BANK, "1a2b3c"))
    found = by_kind(kept, (SEQUENCE, BANK, Kind("raw", "holdfast")))
    told = verdicts(found)
    assert "| sequence | holdfast | 2 | 2 | 0 | 0 |" in told
    assert "| bank | holdfast | 1 | 0 | 1 | 0 |" in told
    assert "raw" not in told
    times = sorted(each.back_to_normal or 0.0 for run in kept[:2] for each in run.recovery[:1])
    told = recovery(found, "back_to_normal", by="workload")
    row = next(line for line in told.splitlines() if "worker.kill" in line)
    assert f"/ {times[1]:.1f} (2)" in row
