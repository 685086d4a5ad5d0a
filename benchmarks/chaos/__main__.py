"""Runs the series, or tells what its runs have shown.

    python -m benchmarks.chaos --folder FOLDER [--seeds 1-20] [--workloads sequence,bank] [--engines holdfast]
    python -m benchmarks.chaos --only-tables

A run takes about three minutes. What it showed becomes a line of the results, its history and its report stay
in the folder. A run that has a line is not repeated: a series that was stopped goes on where it was.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.chaos.plan import WORKLOADS, Kind, folder_of
from benchmarks.chaos.results import KeptRun, Results, commit_here
from benchmarks.chaos.table import by_kind, recovery, verdicts
from holdfast.chaos.run.result import RunResult

console = Console()
USAGE = 2
"""The exit code of a run that cannot be: something is missing here."""
OURS = Path(__file__).with_name("results.jsonl")


def main(
    folder: Annotated[Path, typer.Option(help="Where the runs are kept.")] = Path("chaos-series"),
    results: Annotated[Path, typer.Option(help="What they showed, one in a line.")] = OURS,
    seeds: Annotated[str, typer.Option(help="Of the runs of each kind: 7, or 1-20.")] = "1-20",
    workloads: Annotated[str, typer.Option(help="Comma-separated.")] = ",".join(WORKLOADS),
    engines: Annotated[str, typer.Option(help="Comma-separated.")] = "holdfast",
    only_tables: Annotated[bool, typer.Option(help="Run nothing.")] = False,
) -> None:
    """Break everything, with many seeds, and print the tables of docs/reliability.md."""
    pairs = itertools.product(workloads.split(","), engines.split(","))
    kinds = [Kind(workload, engine) for workload, engine in pairs]
    kept = Results(results)
    if not only_tables:
        _run(folder.resolve(), kept, kinds, _range(seeds))
    found = by_kind(kept.read(), kinds)
    by = "workload" if len({kind.workload for kind in kinds}) > 1 else "engine"
    times = (recovery(found, what, by=by) for what in ("back_to_normal", "longest_gap"))
    print(verdicts(found), *times, sep="\n\n")


def _range(seeds: str) -> range:
    if not (told := re.fullmatch(r"(\d+)(?:-(\d+))?", seeds)):
        raise typer.BadParameter(f"{seeds}: one number, or two with a dash between them")
    first = int(told[1])
    return range(first, int(told[2] or first) + 1)


def _run(home: Path, kept: Results, kinds: list[Kind], seeds: range) -> None:
    home.mkdir(parents=True, exist_ok=True)
    # Seed by seed: a series that is stopped has something of every kind.
    for seed, kind in itertools.product(seeds, kinds):
        if kept.has(kind, seed):
            continue
        of_run, commit = f"{kind.name}-{seed}", commit_here()
        before = folder_of(home, kind, seed)
        shutil.rmtree(home / of_run, ignore_errors=True)
        with kind.systems(home / of_run) as (said, environment), (home / f"{of_run}.log").open("w") as log:
            path = kind.write(home, said)
            command = [sys.executable, "-m", "holdfast", "chaos", "run", path.name, "--seed", str(seed)]
            done = subprocess.run(
                command,
                cwd=home,
                env={**os.environ, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            )
        console.print(f"{kind.name}, seed {seed}: exit code {done.returncode}")
        if done.returncode == USAGE:
            console.print((home / f"{of_run}.log").read_text(encoding="utf-8"), markup=False)
            raise typer.Exit(USAGE)
        if (made := folder_of(home, kind, seed)) not in (None, before):
            kept.add(KeptRun.of(RunResult.load(made), kind, commit))


if __name__ == "__main__":
    typer.run(main)
