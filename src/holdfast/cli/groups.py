"""`holdfast groups`: who works for each processor, and how far it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import out
from holdfast.cli.rows import (
    AsJson,
    Column,
    fitting_table,
    print_json_lines,
    print_table,
    wants_json,
)
from holdfast.cli.topology import TopologyFile
from holdfast.kafka.drain import group_inputs
from holdfast.kafka.groups import Drained, GroupAdmin
from holdfast.kafka.members import Group
from holdfast.topology import load

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
        # Then nobody can say yet how far the group is: its positions are as before, or as they will be.
        "transaction_open": places is None,
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


def register(app: typer.Typer) -> None:
    """Add `groups`."""
    app.command()(groups)
