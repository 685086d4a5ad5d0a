"""`holdfast verify replicas`: do all replicas of a topic hold the same records?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import out
from holdfast.cli.rows import AsJson, Column, fitting_table, print_json_lines, print_table, wants_json
from holdfast.cli.scan_progress import ScanProgress
from holdfast.cli.topology import TopologyFile
from holdfast.cli.words import counted
from holdfast.kafka.replicas.check import Bounds, ReplicaCheck
from holdfast.kafka.replicas.verdict import ReplicaResult, Verdict
from holdfast.topology import DEFAULT_FILE, load

NOT_CHECKED = 3
"""Exit code when no difference was found, but not every replica could be read and compared."""

_COLUMNS = (
    Column("partition", name=True),
    Column("replica", right=True),
    Column("role", drop=2),
    Column("offsets", right=True, drop=1),
    Column("records", right=True, drop=3),
    Column("verdict"),
)
_COLOURS = {
    Verdict.SAME: "green",
    Verdict.DIFFERS: "bold red",
    Verdict.CORRUPT: "bold red",
    Verdict.NOT_READ: "yellow",
    Verdict.NOT_COMPARED: "yellow",
}


def replicas(
    topics: list[str] = typer.Argument(metavar="TOPIC", help="The topics, as the cluster names them."),
    partition: list[int] = typer.Option(
        None, "--partition", "-p", metavar="N", min=0, help="Only this partition; may be repeated."
    ),
    first: int | None = typer.Option(
        None, "--from", metavar="OFFSET", min=0, help="Compare from this offset on.", show_default=False
    ),
    stop: int | None = typer.Option(
        None, "--to", metavar="OFFSET", min=0, help="Compare up to before this offset.", show_default=False
    ),
    last: int | None = typer.Option(
        None,
        "--last",
        metavar="N",
        min=1,
        help="Compare only the last N offsets of each partition.",
        show_default=False,
    ),
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    as_json: bool = AsJson,
) -> None:
    """Read every replica of every partition and compare them, record by record.

    Exit code 1 if replicas differ or are damaged, 3 if some could not be read and compared.
    """
    if first is not None and stop is not None and first >= stop:
        raise typer.BadParameter(f"--from {first} is not before --to {stop}.")
    declared = None if topology == DEFAULT_FILE and not topology.exists() else load(topology)
    servers = resolve_bootstrap_servers(bootstrap_servers, declared)
    json_lines = wants_json(as_json)
    results: list[ReplicaResult] = []
    with (
        ScanProgress() as progress,
        ReplicaCheck(servers, declared.kafka if declared else {}, on_progress=progress.update) as check,
    ):
        for topic in dict.fromkeys(topics):
            for result in check.topic(topic, partitions=partition or (), bounds=Bounds(first, stop, last)):
                results.append(result)
                if json_lines:
                    print_json_lines([as_row(result)])
    if not json_lines:
        _print(out, results)
    verdicts = {result.finding.verdict for result in results}
    if any(verdict.is_damage for verdict in verdicts):
        raise typer.Exit(1)
    if verdicts != {Verdict.SAME}:
        raise typer.Exit(NOT_CHECKED)


def as_row(result: ReplicaResult) -> dict[str, Any]:
    """A result for programs."""
    return {
        "topic": result.place.topic,
        "partition": result.place.partition,
        "replica": result.broker,
        "leader": result.leads,
        "from": result.begin,
        "to": result.end,
        "records": result.records,
        "verdict": result.finding.verdict.value,
        "offset": result.finding.offset,
        "detail": result.finding.detail,
    }


def replicas_table(console: Console, results: Sequence[ReplicaResult]) -> Table:
    """The results as a table that fits the console."""
    cells = []
    for result in results:
        verdict = result.finding.verdict
        cells.append(
            (
                escape(str(result.place)),
                str(result.broker),
                "leader" if result.leads else "follower",
                f"{result.begin:,} to {result.end:,}",
                f"{result.records:,}",
                f"[{_COLOURS[verdict]}]{verdict.value}[/]",
            )
        )
    return fitting_table(console, _COLUMNS, cells)


def _print(console: Console, results: Sequence[ReplicaResult]) -> None:
    print_table(replicas_table(console, results), console)
    for places, detail in details(results):
        console.print(f"- {places}: {detail}", soft_wrap=True, markup=False, highlight=False)
    console.print(f"{verdict_of(results)}", highlight=False, soft_wrap=True)


def details(results: Iterable[ReplicaResult]) -> list[tuple[str, str]]:
    """What there is to say, each thing once with all replicas that it is true of."""
    said: dict[str, list[str]] = {}
    for result in results:
        if result.finding.detail:
            where = f"{result.place} on broker {result.broker}"
            said.setdefault(result.finding.detail, []).append(where)
    return [(", ".join(places), detail) for detail, places in said.items()]


def verdict_of(results: Collection[ReplicaResult]) -> str:
    """The sum of all results in a sentence, with markup."""
    counts = Counter(result.finding.verdict for result in results)
    if set(counts) <= {Verdict.SAME}:
        return f"[bold green]All {counted(len(results), 'replica')} hold the same records.[/]"
    parts = [
        f"{counts[verdict]:,} {text}"
        for verdict, text in (
            (Verdict.CORRUPT, "corrupt"),
            (Verdict.DIFFERS, "different"),
            (Verdict.NOT_READ, "not read"),
            (Verdict.NOT_COMPARED, "not compared"),
        )
        if counts[verdict]
    ]
    damaged = any(verdict.is_damage for verdict in counts)
    colour = "bold red" if damaged else "yellow"
    parts.append(f"{counts[Verdict.SAME]:,} the same")
    return f"[{colour}]Of {counted(len(results), 'replica')}: {', '.join(parts)}.[/]"
