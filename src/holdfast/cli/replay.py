"""`holdfast replay`: a processor's records once more, with its tables made anew."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import err, out
from holdfast.cli.rows import AsJson, plain_table, print_json_lines, print_table, wants_json
from holdfast.cli.scan_progress import ScanProgress
from holdfast.cli.state import Processor, require_changelog
from holdfast.cli.topology import TopologyFile
from holdfast.cli.words import counted
from holdfast.errors import ReplayRefused, TopologyError
from holdfast.kafka.groups import GroupAdmin, partitions_of
from holdfast.kafka.rewind import Rewind, end_unfinished, rewind
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.standing import GroupStanding, offsets_at, standing
from holdfast.record import TopicPartition
from holdfast.runtime.replay import BEGINNING, Known, ReplayPlan, Start, parse_start, plan_replay
from holdfast.topology import ProcessorDecl, Topology, load

_LEAVING_S = 2.0
"""Seconds beyond a session in which a worker that was stopped is still in the group."""

_POLL_S = 0.25


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
    yes: bool = typer.Option(False, "--yes", "-y", help="Do it without asking."),
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    as_json: bool = AsJson,
) -> None:
    """Set a processor back, its tables emptied, so that its workers handle records again."""
    wanted = _Wanted(parse_start(start), emit, keep_state, incomplete)
    declared = load(topology)
    owner = _native(declared, processor)
    servers = resolve_bootstrap_servers(bootstrap_servers, declared)
    plan, todo = _prepare(declared, owner, wanted, servers)
    _show(owner, plan, wanted, as_json)
    _confirm(yes)
    with ScanProgress() as progress:
        scanner = LogScanner(servers, declared.kafka, on_progress=progress.update)
        deleted = rewind(todo, servers, declared.kafka, scanner)
    err.print(
        f"{owner.name} is set back: {counted(plan.offsets, 'offset')} to pass again, "
        f"{counted(deleted, 'key')} deleted. Start its workers with `holdfast run`; `holdfast groups` shows "
        "how far they are."
    )


def _native(declared: Topology, processor: str) -> ProcessorDecl:
    """The processor, which our own engine runs."""
    owner = declared.processor(processor)
    if not isinstance(owner, ProcessorDecl):
        raise TopologyError(
            f'processor "{processor}" is a Faust application: it keeps positions and tables in a way of its '
            "own. Holdfast replays only what its own engine runs."
        )
    return owner


def _prepare(
    declared: Topology, owner: ProcessorDecl, wanted: _Wanted, servers: str
) -> tuple[ReplayPlan, Rewind]:
    """Find out what is to be done, with nobody in the group."""
    with GroupAdmin(servers, declared.kafka) as admin:
        scanner = LogScanner(servers, declared.kafka)
        for table in owner.tables:
            require_changelog(scanner, owner.changelog(table))
        _await_alone(admin, owner)
        end_unfinished(owner.group_id, servers, declared.kafka)
        stands, known = _look(declared, owner, wanted.start, admin, servers)
        plan = plan_replay(
            wanted.start,
            known,
            has_tables=bool(owner.tables),
            keep_state=wanted.keep_state,
            incomplete=wanted.incomplete,
        )
        return plan, _todo(owner, stands, plan, wanted, admin)


def _await_alone(admin: GroupAdmin, owner: ProcessorDecl) -> None:
    """Wait until nobody is in the group, as long as the session of a worker that was stopped lasts."""
    deadline = time.monotonic() + owner.session_timeout_ms / 1000 + _LEAVING_S
    told = False
    while members := admin.describe(owner.group_id).members:
        names = ", ".join(sorted(member.client_id for member in members))
        if time.monotonic() > deadline:
            raise ReplayRefused(
                f"workers of {owner.name} run: {names}. Stop them (`holdfast run`), on every machine, and "
                "try again. Nothing was changed."
            )
        if not told:
            told = True
            err.print(f"waiting for the sessions of {escape(names)} to end ...")
        time.sleep(_POLL_S)


def _look(
    declared: Topology, owner: ProcessorDecl, start: Start, admin: GroupAdmin, servers: str
) -> tuple[GroupStanding, Mapping[TopicPartition, Known]]:
    """What the brokers know of the processor's inputs."""
    places = partitions_of(owner.reads, declared.topic(owner.reads[0]).partitions)
    stands = standing(owner.group_id, places, servers, declared.kafka)
    begins, ends = admin.begins(places), admin.ends(places)
    times: Mapping[TopicPartition, int] = {}
    if start.time is not None:
        times = offsets_at(start.time, places, admin, servers, declared.kafka)
    known = {
        place: Known(
            begins[place],
            ends[place],
            stands.committed[place].offset,
            stands.committed[place].muted,
            times.get(place),
        )
        for place in places
    }
    return stands, known


def _todo(
    owner: ProcessorDecl, stands: GroupStanding, plan: ReplayPlan, wanted: _Wanted, admin: GroupAdmin
) -> Rewind:
    """What to do for a plan."""
    emptied = () if wanted.keep_state else tuple(map(owner.changelog, owner.tables))
    places = tuple(TopicPartition(name, shard) for name in emptied for shard in plan.shards)
    begins, ends = admin.begins(places), admin.high_watermarks(places)
    return Rewind(
        owner.group_id,
        stands.positions,
        {step.place: step.start for step in plan.steps},
        {it.place: stands.note(it.place, None if wanted.emit else it.muted) for it in plan.steps},
        places,
        sum(ends[place] - begins[place] for place in places),
    )


def _show(owner: ProcessorDecl, plan: ReplayPlan, wanted: _Wanted, as_json: bool) -> None:
    """Say what will be done: the partitions as a result, the rest as remarks."""
    rows: list[dict[str, Any]] = [
        {"input": it.place.topic, "partition": it.place.partition, "from": it.start, "to": it.until}
        for it in plan.steps
    ]
    if wants_json(as_json):
        print_json_lines(rows)
    else:
        shown = plain_table("input", "partition", "from", "to", numbers=("partition", "from", "to"))
        for row in rows:
            shown.add_row(escape(row["input"]), str(row["partition"]), f"{row['from']:,}", f"{row['to']:,}")
        print_table(shown, out)
    for note in plan.notes:
        err.print(note, markup=False, highlight=False)
    if owner.tables:
        tables = f"{escape(', '.join(owner.tables))} in {counted(len(plan.shards), 'shard')}"
        if wanted.keep_state:
            err.print(f"tables stay as they are, and replayed records change them once more: {tables}")
        else:
            err.print(f"tables that are emptied: {tables}")
    err.print(
        "outputs are written again" if wanted.emit else "outputs are not written again below the offsets `to`"
    )


def _confirm(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise ReplayRefused(
            "nothing was changed: without a terminal to ask in, say --yes to do what is shown here"
        )
    typer.confirm("Do it?", abort=True, err=True)


def register(app: typer.Typer) -> None:
    """Add `replay`."""
    app.command()(replay)
