"""Commands for the declaration: `check`, `apply`, `topics`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import out
from holdfast.cli.rows import AsJson, Column, fitting_table, print_json_lines, print_table, wants_json
from holdfast.cli.words import counted
from holdfast.engine.plan import check_handler
from holdfast.kafka.admin import TopicAdmin, TopicState
from holdfast.kafka.provision import provision
from holdfast.kafka.settings import checked
from holdfast.sinks.check import check_sink
from holdfast.topology import DEFAULT_FILE, Difference, Topology, check_file, load, plan

TopologyFile = typer.Option(DEFAULT_FILE, "--topology", "-t", metavar="FILE", help="The topology file.")

CHANGES_NEEDED = 3
"""Exit code of `apply --dry-run` when the cluster is not as declared yet."""

_COLUMNS = (
    Column("topic", name=True),
    Column("partitions", short="parts", right=True, drop=2),
    Column("replication", short="repl", right=True, drop=1),
    Column("offsets", right=True, drop=3),
    Column("replicas"),
    Column("declaration"),
)
_NARROW_COLUMNS = (*_COLUMNS[:4], Column("state"))


def check(
    file: Path | None = typer.Argument(
        None,
        metavar="FILE",
        help=f"The topology file, or the folder of a {DEFAULT_FILE}.",
        show_default=False,
    ),
    topology: Path = TopologyFile,
) -> None:
    """Check the topology and everything that it names; report all mistakes with their lines."""
    path = file or topology
    resolved = check_file(path / DEFAULT_FILE if path.is_dir() else path, check_handler, checked, check_sink)
    it = resolved.topology
    counts = (
        counted(len(it.topics), "topic"),
        counted(len(it.processors), "processor"),
        counted(len(it.producers), "producer"),
        *([counted(len(it.leader_tasks), "leader task")] if it.leader_tasks else []),
        counted(len(it.checks), "check"),
    )
    text = f"{it.source.path}: {it.app} has {', '.join(counts)}. No mistakes."
    out.print(escape(text), soft_wrap=True, highlight=False)


def apply(
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    dry_run: bool = typer.Option(
        False,
        "--dry-run",
        help=f"Only say what would be done; exit code {CHANGES_NEEDED} if anything.",
    ),
) -> None:
    """Create the declared topics on the cluster; anything else that differs is an error."""
    declared = load(topology)
    admin = _connect(bootstrap_servers, declared)
    missing = set(provision(admin, declared, dry_run=dry_run))
    for spec in declared.topic_specs():
        if spec.name in missing:
            size = f"{counted(spec.partitions, 'partition')}, replication {spec.replication}"
            out.print(f"{'to create' if dry_run else 'created'}: {spec.name} ({size})", soft_wrap=True)
    if not missing:
        out.print(f"the cluster is as declared: {counted(len(declared.topic_specs()), 'topic')}")
    if missing and dry_run:
        raise typer.Exit(CHANGES_NEEDED)


def topics(
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    every: bool = typer.Option(False, "--all", "-a", help="Also topics that the topology does not declare."),
    as_json: bool = AsJson,
) -> None:
    """Show the topics: size, health, and where the cluster differs from the declaration.

    "offsets" is how many offsets a topic keeps: at least as many as records, since each transaction takes
    one more per partition for its marker, and compaction leaves gaps. `holdfast groups` counts what is to do.
    """
    declared = None if topology == DEFAULT_FILE and not topology.exists() else load(topology)
    admin = _connect(bootstrap_servers, declared)
    names = [spec.name for spec in declared.topic_specs()] if declared else []
    found = admin.topics(None if every or declared is None else names)
    specs = {name: state.spec for name, state in found.items()}
    differences = plan(declared, specs) if declared else ()
    shown = list(dict.fromkeys([*names, *sorted(found)]))
    offsets = admin.record_counts(found)
    rows = [_topic_row(name, found.get(name), offsets.get(name), names, differences) for name in shown]
    if wants_json(as_json):
        print_json_lines(rows)
        return
    print_table(topics_table(out, rows))
    for difference in differences:
        out.print(f"- {difference.text}", soft_wrap=True, markup=False, highlight=False)


def _connect(option: str | None, topology: Topology | None) -> TopicAdmin:
    servers = resolve_bootstrap_servers(option, topology)
    return TopicAdmin(servers, topology.kafka if topology else {})


def _topic_row(
    name: str,
    state: TopicState | None,
    offsets: int | None,
    declared: Collection[str],
    differences: Collection[Difference],
) -> dict[str, Any]:
    mine = [difference for difference in differences if difference.wanted.name == name]
    return {
        "topic": name,
        "exists": state is not None,
        "partitions": state.spec.partitions if state else None,
        "replication": state.spec.replication if state else None,
        # None: a partition has no leader, so that nobody can say.
        "offsets": offsets,
        "no_leader": sorted(state.leaderless) if state else [],
        "behind": sorted(state.under_replicated) if state else [],
        "declared": name in declared,
        "differs": list(dict.fromkeys(difference.setting or difference.kind for difference in mine)),
        "differences": [difference.text for difference in mine],
    }


def topics_table(console: Console, rows: Sequence[Mapping[str, Any]]) -> Table:
    """The rows of `topics` as a table that fits the console."""
    cells = [(escape(row["topic"]), *_numbers(row), _health(row), _mark(row)) for row in rows]
    table = fitting_table(console, _COLUMNS, cells)
    if len(table.columns) == len(_COLUMNS):
        return table
    # Names of changelogs are long: what is as it should be is said in one word.
    narrow = [(escape(row["topic"]), *_numbers(row), _in_one(row)) for row in rows]
    return fitting_table(console, _NARROW_COLUMNS, narrow)


def _numbers(row: Mapping[str, Any]) -> tuple[str, str, str]:
    if not row["exists"]:
        return ("-", "-", "-")
    offsets = "?" if row["offsets"] is None else f"{row['offsets']:,}"
    return (str(row["partitions"]), str(row["replication"]), offsets)


def _in_one(row: Mapping[str, Any]) -> str:
    """Health and declaration in one cell."""
    parts = []
    if row["no_leader"] or row["behind"]:
        parts.append(_health(row))
    if row["differs"] or not row["declared"]:
        parts.append(_mark(row))
    return ", ".join(parts) or "[green]ok[/]"


def _mark(row: Mapping[str, Any]) -> str:
    if not row["declared"]:
        return "not declared"
    if not row["differs"]:
        return "[green]as declared[/]"
    if "missing" in row["differs"]:
        return "[yellow]missing[/]"
    return f"[red]differs: {escape(', '.join(row['differs']))}[/]"


def _health(row: Mapping[str, Any]) -> str:
    if not row["exists"]:
        return "-"
    if row["no_leader"]:
        return f"[red]no leader: {_partitions(row['no_leader'])}[/]"
    if row["behind"]:
        return f"[yellow]behind: {_partitions(row['behind'])}[/]"
    return "[green]in sync[/]"


def _partitions(numbers: Collection[int]) -> str:
    return "partition " + ", ".join(map(str, numbers))


def register(app: typer.Typer) -> None:
    """Add this area's commands to `app`."""
    for command in (check, apply, topics):
        app.command()(command)
