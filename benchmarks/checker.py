"""How long sealing and checking a large history take, and how much memory.

    python -m benchmarks.checker [--ops N] [--write-order] [--memory 1200MB] [--keep FOLDER]

The history is correct, with unknown outcomes, aborts, crashes and rebalances: one that is simulated
(200,000 operations by default), followed by copies of itself with later times, offsets, values and other
processes, until there are N operations. Each step runs in a process of its own, whose peak of memory is
told.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from holdfast.chaos.checker import Options, check
from holdfast.chaos.history import Bounds, History, seal, write_recording
from holdfast.chaos.history.database import Database, quoted
from holdfast.chaos.history.recorder import SUFFIX
from holdfast.chaos.history.sealing import LINE
from tests.support.histories import Shape, Simulation

BASE = 200_000
"""Operations that are simulated."""


def generate(folder: Path, operations: int, base: int) -> int:
    """Writes recordings of about so many operations; returns the number of bytes."""
    shape = Shape(operations=min(operations, base), processes=10, logs=8, keys=1000, batch=3)
    simulation = Simulation(1, shape)
    done = simulation.run()
    first = folder / f"base{SUFFIX}"
    write_recording(first, done)
    values = max((step.value for each in done for step in each.steps), default=0) + 1
    offsets = max((step.offset or 0 for each in done for step in each.steps), default=0) + 1
    copies = round(operations / len(done))
    if copies > 1:
        _copy(first, folder, len(done), values, offsets, simulation.now + 1_000_000, copies)
    return sum(file.stat().st_size for file in folder.iterdir())


def _copy(first: Path, folder: Path, ops: int, values: int, offsets: int, duration: int, copies: int) -> None:
    columns = ", ".join(f"{quoted(name)}: {quoted(kind)}" for name, kind in LINE.items())
    step = f"{{'k': s.k, 'l': s.l, 'v': s.v + n * {values}, 'i': s.i, 'o': s.o + n * {offsets}}}"
    moved = f"list_transform(steps, lambda s: {step})"
    with Database(Bounds()) as database:
        database.run(f"""
            COPY (SELECT e, op + n * {ops} AS op, time + n * {duration} AS time, process || '-'
                || n AS process, action, {moved} AS steps,
                         error, isolation, assigned, sought, rebalanced
                  FROM read_json({quoted(first)}, format='newline_delimited', columns={{{columns}}}),
                      range(1, {copies}) c(n) WHERE e <> 'start')
            TO {quoted(folder / f"copies{SUFFIX}")} (FORMAT json)""")


Cost = tuple[float, float, float]
"""Seconds, seconds of all processors, and the peak of memory in MB."""


def measured(call: Callable[..., Any], *arguments: object) -> tuple[Any, Cost]:
    """What a call returns in a process of its own, and what it cost there."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, call, *arguments).result()


def _measured(call: Callable[..., Any], *arguments: object) -> tuple[Any, Cost]:
    began = time.monotonic()
    answer = call(*arguments)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return answer, (time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def sealed(recordings: Path, into: Path, memory: str) -> int:
    """Seals; returns the number of bytes."""
    seal(recordings, into, bounds=Bounds(memory=memory, scratch=recordings.parent))
    return sum(file.stat().st_size for file in into.iterdir())


def checked(folder: Path, memory: str, write_order: bool) -> dict[str, Any]:
    """Checks; returns the verdict."""
    options = Options(write_order=write_order, bounds=Bounds(memory=memory, scratch=folder.parent))
    return check(History(folder), options).as_json()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checker", description=__doc__)
    parser.add_argument("--ops", type=int, default=1_000_000)
    parser.add_argument(
        "--write-order", action="store_true", help="also look for circles with writes over writes"
    )
    parser.add_argument("--memory", default="1200MB", help="that DuckDB may use")
    parser.add_argument("--base", type=int, default=BASE, help="operations that are simulated, then copied")
    parser.add_argument(
        "--keep", type=Path, help="a folder for the recordings and the history, which stay there"
    )
    asked = parser.parse_args(arguments)
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="holdfast-checker-"))
    console = Console()
    try:
        recordings, into = folder / "recordings", folder / "history"
        recordings.mkdir(parents=True)
        table = Table("step", "s", "CPU s", "peak MB", "result")

        def told(step: str, cost: Cost, result: str) -> None:
            table.add_row(step, *(f"{number:.0f}" for number in cost), result)

        written, cost = measured(generate, recordings, asked.ops, asked.base)
        told("generate", cost, f"{written / 1e6:.0f} MB of recordings")
        kept, cost = measured(sealed, recordings, into, asked.memory)
        told("seal", cost, f"{kept / 1e6:.0f} MB: {History(into).manifest['rows']}")
        verdict, cost = measured(checked, into, asked.memory, asked.write_order)
        found = {each["rule"]: each["count"] for each in verdict["findings"]}
        told("check", cost, f"{verdict['validity']} {found}")
        console.print(table)
        return 0 if verdict["validity"] == "valid" else 1
    finally:
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
