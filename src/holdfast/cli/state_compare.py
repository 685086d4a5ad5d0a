"""`holdfast state diff` and `holdfast state rebuild`: is the state what it should be, and if not, anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import err, out
from holdfast.cli.rows import AsJson, plain_table, print_json_lines, print_table, wants_json
from holdfast.cli.scan_progress import ScanProgress
from holdfast.cli.state import Processor, require_changelog, state
from holdfast.cli.topology import TopologyFile
from holdfast.cli.words import counted
from holdfast.errors import StateError, TopologyError
from holdfast.kafka.offsets import CALL_S
from holdfast.kafka.reader import PartitionReader, reader_settings
from holdfast.kafka.scan import SCAN_GROUP, LogScanner
from holdfast.kafka.settings import consumer_config
from holdfast.kafka.topic_reader import as_text, stateful
from holdfast.local.folders import home
from holdfast.local.scratch import ScratchFolder
from holdfast.runtime.folded import folded
from holdfast.runtime.local_state import (
    LocalShard,
    LocalTable,
    check_local,
    held,
    local_shards,
    throw_away,
)
from holdfast.runtime.state_diff import Comparison, compare
from holdfast.topology import ProcessorDecl, Topology, load

FIRST = 10
"""Differences that are shown unless asked for more."""

_SCRATCH = "holdfast-fold-"

Shard = typer.Option(None, "--shard", metavar="N", min=0, help="Only this shard (a partition's number).")
First = typer.Option(
    FIRST, "--first", metavar="N", min=0, help="Show at most so many differences of each table."
)


@state.command("rebuild")
def state_rebuild(
    processor: str = Processor,
    shard: int | None = Shard,
    check: bool = typer.Option(
        False, "--check", help="Compare the state with the changelog before; exit code 1 if it differed."
    ),
    first: int = First,
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    as_json: bool = AsJson,
) -> None:
    """Throw away what this machine keeps of a processor's state; the next start restores it."""
    declared = load(topology)
    owner = _native(declared, processor, shard)
    folder = _folder(declared, owner)
    shards = local_shards(folder, shard)
    if not shards:
        err.print(f"nothing to do: this machine keeps no such state of {owner.name} ({escape(str(folder))})")
        return
    same = True
    with held(folder, shards):
        if check:
            servers = resolve_bootstrap_servers(bootstrap_servers, declared)
            found = _check(declared, owner, shards, servers, first, owner.tables)
            _print([_local_row(it) for it in found], as_json)
            same = all(it.same for it in found)
        throw_away(shards)
    # Found only by a person who looks for a reason: which slot had which shards.
    where = ", ".join(f"{it.slot}: shard {it.partition}" for it in shards)
    err.print(
        f"thrown away: {counted(len(shards), 'store')} of {owner.name} ({escape(where)}). "
        "The next start restores what it needs from the changelogs."
    )
    if not same:
        raise typer.Exit(1)


@state.command("diff")
def state_diff(
    processor: str = Processor,
    other: str | None = typer.Argument(
        None,
        metavar="[OTHER]",
        help="Another processor; without it, this machine's stores are compared with the changelogs.",
        show_default=False,
    ),
    table: str | None = typer.Option(None, "--table", metavar="TABLE", help="Only this table."),
    shard: int | None = Shard,
    other_topology: Path | None = typer.Option(
        None,
        "--other-topology",
        metavar="FILE",
        help="The other processor's topology file, on the same cluster.",
    ),
    first: int = First,
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    as_json: bool = AsJson,
) -> None:
    """Compare two states key by key; exit code 1 if they differ."""
    declared = load(topology)
    owner = _native(declared, processor, shard, table)
    tables = [table] if table else list(owner.tables)
    servers = resolve_bootstrap_servers(bootstrap_servers, declared)
    if other is None and other_topology is None:
        shards = _require_local(declared, owner, shard)
        found = _check(declared, owner, shards, servers, first, tables)
        rows, same = [_local_row(it) for it in found], all(it.same for it in found)
    else:
        theirs = load(other_topology) if other_topology else declared
        rival = _rival(theirs, other or processor, owner, tables)
        pairs = list(compare_tables(declared, (owner, rival), tables, servers, shard, first))
        rows, same = [_row({"table": name}, it) for name, it in pairs], all(it.same for _, it in pairs)
    _print(rows, as_json)
    if not same:
        raise typer.Exit(1)


def _require_local(declared: Topology, owner: ProcessorDecl, shard: int | None) -> tuple[LocalShard, ...]:
    """The shards that this machine keeps state of; at least one."""
    folder = _folder(declared, owner)
    shards = local_shards(folder, shard)
    if not shards:
        raise StateError(
            f"this machine keeps no state of {owner.name} to compare ({folder}). Name another processor to "
            "compare with, or run this where its workers run."
        )
    return shards


def _rival(theirs: Topology, processor: str, owner: ProcessorDecl, tables: Iterable[str]) -> ProcessorDecl:
    """The processor to compare with, which has the same tables."""
    rival = _native(theirs, processor, None)
    for name in tables:
        stateful(theirs, rival.name, name)
    if rival.group_id == owner.group_id:
        raise TopologyError(f"{rival.group_id} cannot be compared with itself; name another processor")
    return rival


def _native(declared: Topology, processor: str, shard: int | None, table: str | None = None) -> ProcessorDecl:
    """A processor with tables, and with this shard and table."""
    tables = getattr(declared.processor(processor), "tables", None)
    if tables is not None and not tables:
        raise TopologyError(f'processor "{processor}" declares no tables: it keeps no state')
    # It words the refusal of a Faust application, and of a table that is not declared.
    owner = stateful(declared, processor, table or next(iter(tables or ()), ""))
    partitions = declared.topic(owner.reads[0]).partitions
    if shard is not None and shard >= partitions:
        raise TopologyError(f"{processor} has no shard {shard}: its shards are 0 to {partitions - 1}")
    return owner


def _folder(declared: Topology, owner: ProcessorDecl) -> Path:
    return home() / "state" / declared.app / owner.full_name


def _check(
    declared: Topology,
    owner: ProcessorDecl,
    shards: Sequence[LocalShard],
    servers: str,
    first: int,
    tables: Iterable[str],
) -> list[LocalTable]:
    """Compare this machine's stores with the changelogs."""
    names = {table: owner.changelog(table) for table in tables}
    settings = reader_settings(consumer_config(servers, SCAN_GROUP, declared.kafka))
    with ScanProgress() as progress, ScratchFolder(_SCRATCH) as scratch:
        scanner = LogScanner(servers, declared.kafka, on_progress=progress.update)
        for name in names.values():
            require_changelog(scanner, name)
        reader = PartitionReader(settings)
        try:
            facts = reader.topics(list(names.values()), CALL_S)
        finally:
            reader.close()
        return [
            check_local(it, table, (name, facts[name].id), scanner, scratch.path / f"{n}.{table}", first)
            for n, it in enumerate(shards)
            for table, name in names.items()
        ]


def compare_tables(
    declared: Topology,
    owners: tuple[ProcessorDecl, ProcessorDecl],
    tables: Iterable[str],
    servers: str,
    shard: int | None,
    first: int,
) -> Iterator[tuple[str, Comparison]]:
    """Compare the tables of two processors, or of two versions of one, folded from their changelogs.

    Args:
        declared: the application.
        owners: the two.
        tables: which tables.
        servers: the brokers.
        shard: only this shard.
        first: how many differences to keep of each table.

    Raises:
        ClusterError: the brokers cannot be read.
        StateError: a changelog does not exist, or the disk is full.
    """
    with ScanProgress() as progress, ScratchFolder(_SCRATCH) as scratch:
        scanner = LogScanner(servers, declared.kafka, on_progress=progress.update)
        for table in tables:
            left, right = (owner.changelog(table) for owner in owners)
            for name in (left, right):
                require_changelog(scanner, name)
            with (
                folded(scratch.path / f"{table}.left", scanner.topic(left, _only(shard))) as a,
                folded(scratch.path / f"{table}.right", scanner.topic(right, _only(shard))) as b,
            ):
                yield table, compare(a.rows(), b.rows(), first)


def _only(shard: int | None) -> Any:
    return None if shard is None else lambda place: place.partition == shard


def _local_row(found: LocalTable) -> dict[str, Any]:
    about = {
        "table": found.table,
        "slot": found.shard.slot,
        "shard": found.shard.partition,
        "position": found.position,
        "problem": found.problem or None,
    }
    return _row(about, found.found)


def _row(about: Mapping[str, Any], found: Comparison) -> dict[str, Any]:
    return {
        **about,
        "equal": found.equal,
        "differ": found.differ,
        "only_left": found.only_left,
        "only_right": found.only_right,
        "behind": found.behind,
        "differences": [
            {"key": as_text(it.key), "left": shown_value(it.left), "right": shown_value(it.right)}
            for it in found.first
        ],
    }


def shown_value(value: bytes | None) -> str | None:
    """A value as text; None for one that is not there."""
    return None if value is None else as_text(value)


def _print(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    if wants_json(as_json):
        print_json_lines(rows)
        return
    counts = ("equal", "differ", "only_left", "only_right", "behind")
    titles = [name.replace("_", " ") for name in counts]
    heads = [name for name in ("table", "slot", "shard") if rows and name in rows[0]]
    shown = plain_table(*heads, *titles, "", numbers=titles)
    for row in rows:
        cells = [escape(str(row[name])) for name in heads] + [f"{row[name]:,}" for name in counts]
        shown.add_row(*cells, escape(row.get("problem") or ""))
    print_table(shown)
    print_differences(rows, "table", ("left", "right"))


def print_differences(rows: Sequence[Mapping[str, Any]], title: str, sides: tuple[str, str]) -> None:
    """Print the first differences of each row, both sides beside each other.

    Args:
        rows: rows with `differences`.
        title: what names a row.
        sides: what the two sides are called in a difference.
    """
    for row in rows:
        for it in row["differences"]:
            left, right = (it[side] or "-" for side in sides)
            text = f"{row[title]}, {it['key']}: {left} | {right}"
            out.print(text, markup=False, highlight=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add `state diff` and `state rebuild`."""
