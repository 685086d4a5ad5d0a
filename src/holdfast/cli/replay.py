"""`holdfast replay`: a processor's records once more, with its tables made anew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer
from rich.markup import escape

from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import err
from holdfast.cli.replay_into import Into, replay_into
from holdfast.cli.rows import AsJson
from holdfast.cli.scan_progress import ScanProgress
from holdfast.cli.standstill import await_alone, confirm, native, show_plan
from holdfast.cli.state import Processor, require_changelog
from holdfast.cli.topology import TopologyFile
from holdfast.cli.words import counted
from holdfast.errors import ReplayRefused
from holdfast.kafka.groups import GroupAdmin
from holdfast.kafka.rewind import Rewind, rewind
from holdfast.kafka.scan import LogScanner
from holdfast.runtime.replay import BEGINNING, ReplayPlan, Start, parse_start, plan_replay
from holdfast.runtime.replay_steps import end_unfinished, has_lost_positions, look, rewind_in_place
from holdfast.topology import ProcessorDecl, Topology, load


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What was asked for."""

    start: Start
    emit: bool
    keep_state: bool
    incomplete: bool


def replay(
    processor: str = Processor,
    start: str = typer.Option(
        ...,
        "--from",
        metavar="START",
        help=f"`{BEGINNING}`, a time (ISO 8601), or offsets by partition (0:100,1:250).",
    ),
    emit: bool = typer.Option(
        False, "--emit", help="Write outputs again too; by default only state is made."
    ),
    keep_state: bool = typer.Option(
        False, "--keep-state", help="Leave the tables as they are; replayed records change them once more."
    ),
    incomplete: bool = typer.Option(
        False, "--incomplete", help="Replay although inputs no longer keep their first records."
    ),
    into: str | None = typer.Option(
        None,
        "--into",
        metavar="VERSION",
        help="Prepare this new version, the topology's, as a shadow beside the one that is live.",
    ),
    again: bool = typer.Option(
        False, "--again", help="With --into: begin anew although that version has positions already."
    ),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do it without asking."),
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    as_json: bool = AsJson,
) -> None:
    """Set a processor back, its tables emptied, or prepare a new version of it beside the one that runs."""
    declared = load(topology)
    owner = native(declared, processor)
    servers = resolve_bootstrap_servers(bootstrap_servers, declared)
    if into is not None or again:
        if emit or keep_state:
            raise ReplayRefused("--emit and --keep-state belong to a replay in place: leave them out")
        replay_into(declared, owner, Into(parse_start(start), into, again, incomplete, yes, as_json), servers)
        return
    if owner.sink is not None and not emit:
        raise ReplayRefused(
            f"{owner.name} writes to sink {owner.sink} and keeps no state: without --emit nothing comes of "
            "it. A sink that keeps positions leaves out what it has written already: to write it again with "
            "--emit, delete them first (PostgreSQL: in its table of positions the rows with consumer_group = "
            f"'{owner.group_id}'; Redis: the key holdfast:positions:{owner.group_id})"
        )
    if owner.asks and not emit:
        raise ReplayRefused(
            f"{owner.name} asks {' and '.join(owner.asks)} and keeps no state: without --emit nothing comes "
            "of it. With --emit everything is asked for again, each record with the same key as before"
        )
    wanted = _Wanted(parse_start(start), emit, keep_state, incomplete)
    plan, todo = _prepare(declared, owner, wanted, servers)
    _show(owner, plan, wanted, as_json)
    confirm(yes)
    with ScanProgress() as progress:
        scanner = LogScanner(servers, declared.kafka, on_progress=progress.update)
        deleted = rewind(todo, servers, declared.kafka, scanner)
    err.print(
        f"{owner.name} is set back: {counted(plan.offsets, 'offset')} to pass again, "
        f"{counted(deleted, 'key')} deleted. Start its workers with `holdfast run`; `holdfast groups` shows "
        "how far they are."
    )


def _prepare(
    declared: Topology, owner: ProcessorDecl, wanted: _Wanted, servers: str
) -> tuple[ReplayPlan, Rewind]:
    """Find out what is to be done, with nobody in the group."""
    with GroupAdmin(servers, declared.kafka) as admin:
        scanner = LogScanner(servers, declared.kafka)
        for table in owner.state_tables:
            require_changelog(scanner, owner.changelog(table))
        await_alone(admin, owner)
        end_unfinished(owner, servers, declared.kafka)
        stands, known = look(declared, owner, wanted.start, admin, servers)
        plan = plan_replay(
            wanted.start,
            known,
            has_tables=bool(owner.state_tables),
            keep_state=wanted.keep_state,
            incomplete=wanted.incomplete,
            has_lost_positions=has_lost_positions(owner, stands, admin),
        )
        todo = rewind_in_place(owner, stands, plan, admin, emit=wanted.emit, keep_state=wanted.keep_state)
        return plan, todo


def _show(owner: ProcessorDecl, plan: ReplayPlan, wanted: _Wanted, as_json: bool) -> None:
    """Say what will be done: the partitions as a result, the rest as remarks."""
    show_plan(plan, as_json)
    if owner.state_tables:
        tables = f"{escape(', '.join(owner.state_tables))} in {counted(len(plan.shards), 'shard')}"
        if wanted.keep_state:
            err.print(f"tables stay as they are, and replayed records change them once more: {tables}")
        else:
            err.print(f"tables that are emptied: {tables}")
    err.print(
        "outputs are written again" if wanted.emit else "outputs are not written again below the offsets `to`"
    )


def register(app: typer.Typer) -> None:
    """Add `replay`."""
    app.command()(replay)
