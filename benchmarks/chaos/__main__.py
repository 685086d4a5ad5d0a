"""Runs the series, or tells what the runs that are there show.

    python -m benchmarks.chaos --folder FOLDER [--seeds 20] [--workloads sequence,bank] [--engines holdfast]
    python -m benchmarks.chaos --folder FOLDER --only-tables

A run takes about three minutes. One that is in the folder already is not repeated: a series that was stopped
goes on where it was.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.chaos.plan import WORKLOADS, Kind, folder_of
from benchmarks.chaos.table import read, recovery, verdicts

console = Console()


def main(
    folder: Annotated[Path, typer.Option(help="Where the runs are kept.")],
    seeds: Annotated[int, typer.Option(help="Runs of each kind, with the seeds 1, 2, ...", min=1)] = 20,
    workloads: Annotated[str, typer.Option(help="Comma-separated.")] = ",".join(WORKLOADS),
    engines: Annotated[str, typer.Option(help="Comma-separated.")] = "holdfast",
    only_tables: Annotated[bool, typer.Option(help="Run nothing.")] = False,
) -> None:
    """Break everything, with many seeds, and print the tables of docs/reliability.md."""
    pairs = itertools.product(workloads.split(","), engines.split(","))
    kinds = [Kind(workload, engine) for workload, engine in pairs]
    if not only_tables:
        _run(folder, kinds, seeds)
    found = read(folder, kinds)
    by = "workload" if len({kind.workload for kind in kinds}) > 1 else "engine"
    print(verdicts(found), recovery(found, by=by), sep="\n\n")


def _run(home: Path, kinds: list[Kind], seeds: int) -> None:
    home.mkdir(parents=True, exist_ok=True)
    # Seed by seed: a series that is stopped has something of every kind.
    for seed, kind in itertools.product(range(1, seeds + 1), kinds):
        if folder_of(home, kind, seed) is not None:
            continue
        of_run = f"{kind.name}-{seed}"
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


if __name__ == "__main__":
    typer.run(main)
