"""Measures recovery: `python -m benchmarks.recovery --help`."""

from __future__ import annotations

import json
import re
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import report
from benchmarks.compare import RESULTS
from benchmarks.recovery.faults import FAULTS, Fault
from benchmarks.recovery.lab import Lab
from holdfast.chaos.clients.output_watch import OutputWatch
from holdfast.local.cluster import EmbeddedCluster
from tests.support.fold import assert_exactly_once
from tests.support.load import Load

QUIET_S = 3.0
"""Seconds without a fault before each one."""

BURST_S = 0.05
"""Seconds from one burst of events to the next. Each takes a request for every partition, and with 20 ms the
sender alone had brokers that share two cores write 300 times a second: everything else waited for them."""

STEADY_S = 0.5
"""Seconds that the output has to stay fresh to count as recovered, beyond those for which one that has
stopped still looks fresh."""

DOCS = Path(__file__).parents[2] / "docs" / "recovery.md"

TITLES = ("fault", "runs", "p50", "p95", "max", "bar", "records checked")

console = Console()


@dataclass(frozen=True)
class Series:
    """All runs of one fault.

    Attributes:
        gaps: the longest gap of each run, in seconds.
        records: inputs of all runs, every one of which was found applied exactly once, in order.
    """

    fault: str
    title: str
    bar: str
    gaps: list[float]
    records: int

    def percentile(self, share: float) -> float:
        """The gap that `share` of the runs do not exceed (nearest rank)."""
        ordered = sorted(self.gaps)
        return ordered[max(-(-len(ordered) * share // 1) - 1, 0).__int__()]


def measure(fault: Fault, runs: int, rate: int, fresh_s: float) -> Series:
    """Repeat one fault on brokers and workers of its own, then check all that was written."""
    prefix = "holdfast-recovery-"
    with (
        tempfile.TemporaryDirectory(prefix=prefix) as folder,
        EmbeddedCluster.temporary(overrides=fault.brokers) as cluster,
    ):
        lab = Lab(cluster, Path(folder), f"recovery-{fault.name}", **fault.options)
        try:
            lab.start(0, 1)
            lab.fill(fault.keys)
            with Load(lab.app, rate=rate, keys=fault.keys, tick=BURST_S), lab.watch(fresh_s) as watch:
                gaps = [_one(lab, watch, fault, number, fresh_s) for number in range(runs)]
            lab.until(lambda: lab.app.lag() == 0, "everything is processed")
        finally:
            lab.stop_all()
        return Series(fault.name, fault.title, fault.bar, gaps, assert_exactly_once(lab.app))


def _one(lab: Lab, watch: OutputWatch, fault: Fault, number: int, fresh_s: float) -> float:
    _settle(lab, watch, fresh_s)
    lab.let_run(QUIET_S)
    lab.until(lab.is_warm, "warm standbys")
    lab.begin()
    fault.act(lab, number)
    _settle(lab, watch, fresh_s)
    gap = watch.longest_gap(lab.began)
    console.print(f"{fault.name} {number + 1}: {gap:.2f} s")
    fault.mend(lab, number)
    return gap


def _settle(lab: Lab, watch: OutputWatch, fresh_s: float) -> None:
    """Wait until the output is fresh, and stays so for a while."""
    since = time.monotonic()

    def steady() -> bool:
        nonlocal since
        if not watch.fresh_within(fresh_s):
            since = time.monotonic()
        return time.monotonic() - since >= fresh_s + STEADY_S

    lab.until(steady, "fresh output")


def table(found: list[Series]) -> Table:
    """The results for a terminal."""
    drawn = Table(title="longest gap in the committed output, in seconds")
    for column in TITLES:
        drawn.add_column(column, justify="left" if column in {"fault", "bar"} else "right")
    for one in found:
        drawn.add_row(*cells(one))
    return drawn


def cells(one: Series) -> list[str]:
    """A row of the table, under `TITLES`."""
    figures = (one.percentile(0.5), one.percentile(0.95), max(one.gaps))
    return [one.title, str(len(one.gaps)), *(f"{it:.2f}" for it in figures), one.bar, f"{one.records:,}"]


def write_rows(found: list[Series], facts: dict[str, Any], rate: int) -> None:
    """Put the rows into docs/recovery.md, in place of earlier ones of the same faults."""
    row = re.compile(r"^\| ([^|]+?) \|.*$", re.MULTILINE)
    rows = {it[1]: it[0] for it in row.finditer(DOCS.read_text()) if it[1] != TITLES[0]}
    where = f"{facts['machine']}, {facts['date']}, load {facts['load at the start']}, {rate:,} events/s"
    rows |= {one.title: f"| {' | '.join([*cells(one), where])} |" for one in found}
    ordered = [rows[fault.title] for fault in FAULTS.values() if fault.title in rows]
    head = [f"| {' | '.join([*TITLES, 'measured on'])} |", "|---|---:|---:|---:|---:|---|---:|---|"]
    report.replace_section(DOCS, "\n".join([*head, *ordered]), mark="results")


def main(
    faults: Annotated[str, typer.Option(help="Comma-separated.")] = ",".join(FAULTS),
    runs: Annotated[int, typer.Option(help="Runs of each fault.", min=1)] = 20,
    rate: Annotated[int, typer.Option(help="Events per second.", min=50)] = 2_000,
    fresh: Annotated[
        float,
        typer.Option(
            help="Seconds within which an input shows in the output when all is well: a run ends when it "
            "does so again. More than the default is for machines that the load fills.",
            min=0.1,
        ),
    ] = 0.5,
    markdown: Annotated[bool, typer.Option(help="Write the rows into docs/recovery.md.")] = False,
) -> None:
    """Break things again and again under load, and measure how long the committed output stands still."""
    machine = report.machine()
    found = [measure(FAULTS[name], runs, rate, fresh) for name in faults.split(",")]
    console.print(table(found))
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"recovery-{datetime.now(UTC).strftime('%Y%m%d-%H%M%S')}.json"
    content = {"facts": machine, "rate": rate, "results": [asdict(one) for one in found]}
    path.write_text(json.dumps(content, indent=1) + "\n")
    if markdown:
        write_rows(found, machine, rate)


if __name__ == "__main__":
    typer.run(main)
