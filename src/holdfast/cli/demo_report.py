"""What `holdfast demo` says in the end: what happened, how long it took, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.checks import CheckResult
from holdfast.cli.check_report import print_result, print_verdict
from holdfast.cli.rows import Column, fitting_table, plain_table, print_table
from holdfast.cli.words import counted

_PROCESSORS = (
    Column("processor", name=True),
    Column("workers", right=True, drop=1),
    Column("records", right=True),
    Column("commits", right=True, drop=2),
    Column("dead letters", short="dead", right=True),
    Column("restarts", right=True, drop=3),
)


@dataclass(frozen=True, slots=True)
class ProcessorResult:
    """What one processor did.

    Attributes:
        name: the processor.
        workers: how many worker processes it had.
        records: records handled.
        commits: units committed; None where that is not known (Faust).
        dead_letters: records set aside.
        restarts: how often a worker had to be started again.
    """

    name: str
    workers: int
    records: int
    commits: int | None
    dead_letters: int
    restarts: int


@dataclass(slots=True)
class DemoResult:
    """Everything that the report tells.

    Attributes:
        published: events published.
        publishing_s: seconds that took.
        draining_s: seconds from the first event until everything was processed.
        processors: what each did.
        topics: records by topic.
        checks: what the checks found.
        times: seconds by phase.
    """

    published: int = 0
    publishing_s: float = 0.0
    draining_s: float = 0.0
    processors: tuple[ProcessorResult, ...] = ()
    topics: Mapping[str, int] = field(default_factory=dict)
    checks: Sequence[CheckResult] = ()
    times: Mapping[str, float] = field(default_factory=dict)


def print_report(console: Console, result: DemoResult) -> bool:
    """Print the tables and the verdict; returns whether every check holds."""
    console.print()
    topics = plain_table("topic", "records", numbers=["records"])
    for name, records in result.topics.items():
        topics.add_row(escape(name), f"{records:,}")
    print_table(topics, console)
    console.print()
    print_table(processors_table(console, result.processors), console)
    console.print()
    phases = plain_table("phase", "seconds", numbers=["seconds"])
    for name, seconds in result.times.items():
        phases.add_row(escape(name), f"{seconds:.1f}")
    phases.add_row("[bold]total[/]", f"[bold]{sum(result.times.values()):.1f}[/]")
    print_table(phases, console)
    console.print()
    _print_rates(console, result)
    console.print()
    if not result.checks:
        console.print("[yellow]The topology declares no checks, so there is no verdict.[/]")
        return True
    for check in result.checks:
        print_result(console, check)
    return print_verdict(console, result.checks)


def processors_table(console: Console, results: Sequence[ProcessorResult]) -> Table:
    """What the processors did, as a table that fits the console."""
    rows = []
    for it in results:
        commits = "-" if it.commits is None else f"{it.commits:,}"
        counts = (f"{it.records:,}", commits, f"{it.dead_letters:,}", str(it.restarts))
        rows.append((escape(it.name), str(it.workers), *counts))
    return fitting_table(console, _PROCESSORS, rows)


def _print_rates(console: Console, result: DemoResult) -> None:
    handled = sum(it.records for it in result.processors)
    if result.publishing_s and result.draining_s:
        console.print(
            f"{counted(result.published, 'event')} published "
            f"at {result.published / result.publishing_s:,.0f}/s; "
            f"end to end {result.published / result.draining_s:,.0f} events/s, which made "
            f"{handled / result.draining_s:,.0f} processed records/s "
            f"({handled:,} in {result.draining_s:.1f} s).",
            highlight=False,
            soft_wrap=True,
        )
