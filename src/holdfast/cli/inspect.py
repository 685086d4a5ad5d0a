"""Commands to look at what is there: `groups` and `state`."""

from __future__ import annotations

import heapq
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.cli.app import App
from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import err, out
from holdfast.cli.rows import (
    AsJson,
    Column,
    fitting_table,
    plain_table,
    print_json_lines,
    print_table,
    wants_json,
)
from holdfast.cli.scan_progress import ScanProgress
from holdfast.cli.topology import TopologyFile
from holdfast.cli.words import counted
from holdfast.errors import BrokersUnreachable, NoSuchKey, StateError
from holdfast.kafka.drain import group_inputs
from holdfast.kafka.groups import Drained, GroupAdmin
from holdfast.kafka.members import Group
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.topic_reader import as_text, fold, look_up, stateful
from holdfast.topology import Topology, load

SHOWN = 100
"""Rows of a table that a terminal shows unless asked for more."""

_POLL_S = 0.2

_GROUPS = (
    Column("processor", name=True),
    Column("state", drop=4),
    Column("workers", right=True, drop=3),
    Column("input", name=True),
    Column("committed", right=True, drop=2),
    Column("end", right=True, drop=1),
    Column("lag", right=True),
)
_WORKERS = (Column("worker", name=True), Column("host", drop=1), Column("shards"))

Processor = typer.Argument(metavar="PROCESSOR", help="The processor, as it is named in the topology.")
TableName = typer.Argument(metavar="TABLE", help="One of its tables.")

state = App(name="state", help="Look into a processor's tables, as they are committed.", no_args_is_help=True)


def groups(
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    as_json: bool = AsJson,
) -> None:
    """Show each processor's group: its state, its workers, and how far it is with its inputs."""
    declared = load(topology)
    inputs = group_inputs(declared)
    with GroupAdmin(resolve_bootstrap_servers(bootstrap_servers, declared), declared.kafka) as admin:
        standings = admin.is_drained(inputs)
        found = [admin.describe(processor.group_id) for processor in declared.processors.values()]
    rows = [
        _group_row(name, group, standings) for name, group in zip(declared.processors, found, strict=True)
    ]
    if wants_json(as_json):
        print_json_lines(rows)
        return
    print_table(groups_table(out, rows))
    if any(row["workers"] for row in rows):
        out.print()
        print_table(group_workers_table(out, rows))


def _group_row(name: str, group: Group, standings: Drained) -> dict[str, Any]:
    places = standings.groups.get(group.group_id)
    topics = dict.fromkeys(place.topic for place in places or ())
    inputs = []
    for topic in topics:
        each = [standing for place, standing in (places or {}).items() if place.topic == topic]
        inputs.append(
            {
                "topic": topic,
                "committed": sum(standing.committed or 0 for standing in each),
                "end": sum(standing.end for standing in each),
                "lag": sum(standing.lag for standing in each),
            }
        )
    return {
        "processor": name,
        "group": group.group_id,
        "state": group.state,
        # None: a transaction is open, so that nobody can say yet how far the group is.
        "lag": None if places is None else sum(standing.lag for standing in places.values()),
        "inputs": inputs,
        "workers": [
            {
                "client": member.client_id,
                "host": member.host,
                "instance": member.instance_id,
                "partitions": [f"{place}" for place in member.partitions],
            }
            for member in group.members
        ],
    }


def groups_table(console: Console, rows: Iterable[Mapping[str, Any]]) -> Table:
    """The rows of `groups` as a table that fits the console."""
    cells = []
    for row in rows:
        head = (escape(row["processor"]), row["state"].replace("_", " "), str(len(row["workers"])))
        for it in row["inputs"]:
            counts = (f"{it['committed']:,}", f"{it['end']:,}", f"{it['lag']:,}")
            cells.append((*head, escape(it["topic"]), *counts))
            head = ("", "", "")
        if row["lag"] is None:
            cells.append((*head, "[yellow]a transaction is open[/]", "", "", "?"))
        elif len(row["inputs"]) > 1:
            cells.append((*head, "[dim]total[/]", "", "", f"{row['lag']:,}"))
    return fitting_table(console, _GROUPS, cells)


def group_workers_table(console: Console, rows: Iterable[Mapping[str, Any]]) -> Table:
    """The workers in the rows of `groups` as a table that fits the console."""
    cells = []
    for row in rows:
        for worker in row["workers"]:
            numbers = sorted({int(place.rpartition("[")[2].rstrip("]")) for place in worker["partitions"]})
            shards = ", ".join(map(str, numbers)) or "-"
            cells.append((escape(worker["client"]), worker["host"], shards))
    return fitting_table(console, _WORKERS, cells)


@state.command("list")
def state_list(
    processor: str = Processor,
    table: str = TableName,
    prefix: str = typer.Option("", "--prefix", metavar="START", help="Only keys that start so."),
    limit: int | None = typer.Option(
        None,
        "--limit",
        "-n",
        metavar="N",
        min=1,
        help=f"At most so many rows; {SHOWN} in a terminal unless given.",
    ),
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    as_json: bool = AsJson,
) -> None:
    """Show a table's keys and values, in the order of the keys."""
    declared = load(topology)
    changelog = stateful(declared, processor, table).changelog(table)
    with ScanProgress() as progress:
        scanner = _scanner(declared, bootstrap_servers, progress)
        _require(scanner, changelog)
        found = fold(scanner.topic(changelog))
    start = prefix.encode()
    keys = [key for key in found if key.startswith(start)]
    most = limit or (SHOWN if out.is_terminal else len(keys))
    chosen = heapq.nsmallest(most, keys) if most < len(keys) else sorted(keys)
    if wants_json(as_json):
        # The values are JSON already: they are printed as they are kept, digit for digit.
        for key in chosen:
            sys.stdout.write(f'{{"key": {json.dumps(as_text(key))}, "value": {found[key].decode()}}}\n')
        return
    shown = plain_table("key", "value")
    for key in chosen:
        shown.add_row(escape(as_text(key)), escape(found[key].decode()))
    print_table(shown)
    if len(chosen) < len(keys):
        err.print(f"[dim]{len(chosen):,} of {counted(len(keys), 'key')}; --limit shows more.[/]")


@state.command("get")
def state_get(
    processor: str = Processor,
    table: str = TableName,
    key: str = typer.Argument(metavar="KEY", help="The key, as text."),
    wait: float = typer.Option(
        0.0, "--wait", metavar="SECONDS", help="Wait so long for a value, if there is none yet."
    ),
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
) -> None:
    """Show the value under one key, as JSON; exit code 1 if there is none."""
    declared = load(topology)
    owner = stateful(declared, processor, table)
    with ScanProgress() as progress:
        scanner = _scanner(declared, bootstrap_servers, progress)
        partitions = _require(scanner, owner.changelog(table))
        changelog = owner.changelog(table)
        value = _await(lambda: look_up(scanner, changelog, key.encode(), partitions), wait)
    if value is None:
        raise NoSuchKey(
            f'the table "{table}" of {processor} holds nothing under the key "{key}". '
            f"`holdfast state list {processor} {table}` shows what it holds."
        )
    if out.is_terminal:
        out.print_json(value.decode())
    else:
        sys.stdout.write(value.decode() + "\n")


def _await(look: Callable[[], bytes | None], seconds: float) -> bytes | None:
    """Look until there is a value or the time is over; brokers that are away meanwhile may come back."""
    deadline = time.monotonic() + seconds
    while True:
        value = None
        try:
            value = look()
        except BrokersUnreachable:
            if time.monotonic() >= deadline:
                raise
        left = deadline - time.monotonic()
        if value is not None or left <= 0:
            return value
        time.sleep(min(_POLL_S, left))


def _scanner(declared: Topology, option: str | None, progress: ScanProgress) -> LogScanner:
    servers = resolve_bootstrap_servers(option, declared)
    return LogScanner(servers, declared.kafka, on_progress=progress.update)


def _require(scanner: LogScanner, changelog: str) -> int:
    """The number of partitions of a changelog, which is there once the topology was applied."""
    places = scanner.offsets.partitions([changelog]).get(changelog)
    if places is None:
        raise StateError(
            f"the cluster has no changelog {changelog}. Is it the right cluster? `holdfast apply` creates it."
        )
    return len(places)


def register(app: typer.Typer) -> None:
    """Add this area's commands to `app`."""
    app.command()(groups)
    app.add_typer(state)
