"""Commands for the declaration: `check`, `apply`, `topics`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import out
from holdfast.engine.plan import check_handler
from holdfast.kafka.admin import TopicAdmin, TopicState
from holdfast.kafka.provision import provision
from holdfast.kafka.settings import checked
from holdfast.topology import DEFAULT_FILE, Difference, Topology, check_file, load, plan

TopologyFile = typer.Option(DEFAULT_FILE, "--topology", "-t", metavar="FILE", help="The topology file.")

CHANGES_NEEDED = 3
"""Exit code of `apply --dry-run` when the cluster is not as declared yet."""


def check(
    file: Path | None = typer.Argument(None, metavar="FILE", help="The topology file.", show_default=False),
    topology: Path = TopologyFile,
) -> None:
    """Check the topology and everything that it names; report all mistakes with their lines."""
    resolved = check_file(file or topology, check_handler, checked)
    it = resolved.topology
    counts = (
        _count(len(it.topics), "topic"),
        _count(len(it.processors), "processor"),
        _count(len(it.producers), "producer"),
        _count(len(it.checks), "check"),
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
            size = f"{_count(spec.partitions, 'partition')}, replication {spec.replication}"
            out.print(f"{'to create' if dry_run else 'created'}: {spec.name} ({size})", soft_wrap=True)
    if not missing:
        out.print(f"the cluster is as declared: {_count(len(declared.topic_specs()), 'topic')}")
    if missing and dry_run:
        raise typer.Exit(CHANGES_NEEDED)


def topics(
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    every: bool = typer.Option(False, "--all", "-a", help="Also topics that the topology does not declare."),
) -> None:
    """Show the topics: size, health, and where the cluster differs from the declaration."""
    declared = None if topology == DEFAULT_FILE and not topology.exists() else load(topology)
    admin = _connect(bootstrap_servers, declared)
    names = [spec.name for spec in declared.topic_specs()] if declared else []
    found = admin.topics(None if every or declared is None else names)
    specs = {name: state.spec for name, state in found.items()}
    differences = plan(declared, specs) if declared else ()
    shown = list(dict.fromkeys([*names, *sorted(found)]))
    _print(_table(shown, found, admin.record_counts(found), names, differences))
    for difference in differences:
        out.print(f"- {difference.text}", soft_wrap=True, markup=False, highlight=False)


def _print(table: Table) -> None:
    """Print a table; one that goes to a file or pipe is as wide as it needs to be."""
    if not out.is_terminal:
        table.width = out.measure(table, options=out.options.update(max_width=10_000)).maximum
    out.print(table, crop=False)


def _connect(option: str | None, topology: Topology | None) -> TopicAdmin:
    servers = resolve_bootstrap_servers(option, topology)
    return TopicAdmin(servers, topology.kafka if topology else {})


def _table(
    shown: Iterable[str],
    found: Mapping[str, TopicState],
    records: Mapping[str, int],
    declared: Collection[str],
    differences: Collection[Difference],
) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("topic", overflow="fold")
    for column in ("partitions", "replication", "records"):
        table.add_column(column, justify="right")
    table.add_column("replicas")
    table.add_column("declaration")
    for name in shown:
        differs = [difference for difference in differences if difference.wanted.name == name]
        mark = _mark(differs) if name in declared else "not declared"
        if name in found:
            spec = found[name].spec
            numbers = (
                str(spec.partitions),
                str(spec.replication),
                f"{records[name]:,}" if name in records else "?",
            )
            table.add_row(name, *numbers, _health(found[name]), mark)
        else:
            table.add_row(name, "-", "-", "-", "-", mark)
    return table


def _mark(differs: Collection[Difference]) -> str:
    if not differs:
        return "[green]as declared[/]"
    kinds = dict.fromkeys(difference.setting or difference.kind for difference in differs)
    if "missing" in kinds:
        return "[yellow]missing[/]"
    return f"[red]differs: {escape(', '.join(kinds))}[/]"


def _health(state: TopicState) -> str:
    if state.leaderless:
        return f"[red]no leader: {_partitions(state.leaderless)}[/]"
    if state.under_replicated:
        return f"[yellow]behind: {_partitions(state.under_replicated)}[/]"
    return "[green]in sync[/]"


def _partitions(numbers: Collection[int]) -> str:
    return "partition " + ", ".join(str(number) for number in sorted(numbers))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def register(app: typer.Typer) -> None:
    """Add this area's commands to `app`."""
    for command in (check, apply, topics):
        app.command()(command)
