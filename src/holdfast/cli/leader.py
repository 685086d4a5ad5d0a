"""`holdfast leader`: who leads, what the leader tasks do, and the elections so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import err, out
from holdfast.cli.rows import AsJson, Column, fitting_table, print_json_lines, print_table, wants_json
from holdfast.cli.scan_progress import ScanProgress
from holdfast.cli.topology import TopologyFile
from holdfast.cli.words import counted
from holdfast.engine.leader_clock import Begin, believed, why_ahead
from holdfast.engine.leader_log import Election, History
from holdfast.engine.schedule import schedule_of
from holdfast.errors import TopologyError
from holdfast.kafka.groups import GroupAdmin
from holdfast.kafka.scan import LogScanner
from holdfast.runtime.leader_view import Candidates, read_candidates, read_history
from holdfast.topology import LeaderTaskDecl, Topology, load

_TASKS = (
    Column("task", name=True),
    Column("schedule", drop=6),
    Column("last run (UTC)", short="last run"),
    Column("result"),
    Column("next run (UTC)", short="next run"),
    Column("runs", right=True, drop=2),
    Column("failed", right=True, drop=4),
    Column("missed", right=True, drop=3),
    Column("records", right=True, drop=5),
)
_ELECTIONS = (
    Column("token", right=True),
    Column("slot", name=True),
    Column("host", drop=2),
    Column("pid", right=True, drop=1),
    Column("elected (UTC)", short="elected"),
    Column("until (UTC)", short="until", drop=3),
)


def leader(
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    elections: int = typer.Option(
        10, "--elections", metavar="N", min=0, help="How many elections to show, the newest first."
    ),
    as_json: bool = AsJson,
) -> None:
    """Show who leads, the leader tasks with their last and next runs, and the elections so far.

    A leader that was killed is shown until its session ends, as its group does not know better.
    """
    declared = load(topology)
    if not declared.leader_tasks:
        raise TopologyError(f"{declared.source.path} declares no `leader_tasks`, so nobody leads.")
    servers = resolve_bootstrap_servers(bootstrap_servers, declared)
    with ScanProgress() as progress:
        scanner = LogScanner(servers, declared.kafka, on_progress=progress.update)
        scanner.require(declared.leader_id)
        history = read_history(scanner, declared)
    with GroupAdmin(servers, declared.kafka) as groups:
        candidates = read_candidates(groups, declared)
    now = datetime.now(UTC)
    head = leader_row(history, candidates)
    tasks = [task_row(task, history, now) for task in declared.leader_tasks.values()]
    held = list(election_rows(history.elections))[:elections]
    if wants_json(as_json):
        print_json_lines([head, *tasks, *held])
    else:
        _print(declared, head, tasks, held)
    if history.unreadable:
        err.print(
            f"[yellow]{counted(history.unreadable, 'record')} of {declared.leader_id} cannot be read.[/]"
        )


def leader_row(history: History, candidates: Candidates) -> dict[str, Any]:
    """Who leads: by the group who may, by the topic who was elected."""
    last = history.leader
    leads = candidates.owner is not None and last is not None and last.claim.slot == candidates.owner
    state = "leading" if leads else "being elected"
    if candidates.settled and not candidates.slots:
        state = "nobody"
    return {
        "type": "leader",
        "state": state,
        **(_who(last) if last is not None and leads else dict.fromkeys(_WHO)),
        "candidates": sorted(candidates.slots),
    }


_WHO = ("token", "slot", "host", "pid", "elected_at")


def _who(election: Election) -> dict[str, Any]:
    claim = election.claim
    values = (election.token, claim.slot, claim.host, claim.pid, claim.at.isoformat())
    return dict(zip(_WHO, values, strict=True))


def task_row(task: LeaderTaskDecl, history: History, now: datetime) -> dict[str, Any]:
    """A task with its last and its next run."""
    schedule = schedule_of(task)
    run = history.runs.get(task.name)
    known = history.leader is not None and history.leader.claim.schedules.get(task.name) == schedule.text
    # A task that no leader knows yet has no times: they begin with the next election.
    following = None
    if known:
        begin = Begin(run.scheduled_at if run else None, history.since[task.name])
        following = schedule.following(*(believed(*begin, now, now) or begin))
    return {
        "type": "task",
        "task": task.name,
        "schedule": schedule.text,
        "last_for": run.scheduled_at.isoformat() if run else None,
        "last_started": run.started_at.isoformat() if run else None,
        "last_seconds": (run.ended_at - run.started_at).total_seconds() if run else None,
        "last_token": run.token if run else None,
        "last_records": run.outputs if run else None,
        "result": None if run is None else "done" if run.error is None else "failed",
        "error": run.error if run else None,
        "clock": why_ahead(run, history, now),
        "next": following.isoformat() if following else None,
        "is_due": following is not None and following <= now,
        "runs": run.runs if run else 0,
        "failures": run.failures if run else 0,
        "missed": run.missed_in_all if run else 0,
    }


def election_rows(elections: Sequence[Election]) -> Iterator[dict[str, Any]]:
    """The elections, newest first, each until the next one."""
    until = None
    for election in reversed(elections):
        yield {"type": "election", **_who(election), "until": until}
        until = election.claim.at.isoformat()


def _print(
    declared: Topology, head: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]], held: Sequence[Any]
) -> None:
    out.print(escape(headline(declared, head)), soft_wrap=True, highlight=False)
    out.print()
    print_table(tasks_table(out, tasks))
    for row in tasks:
        if row["error"]:
            out.print(
                f"[red]{escape(row['task'])}[/] {escape(row['error'])}", soft_wrap=True, highlight=False
            )
        if row["clock"]:
            out.print(
                f"[yellow]{escape(row['task'])}[/] {escape(row['clock'])}", soft_wrap=True, highlight=False
            )
    if held:
        out.print()
        print_table(elections_table(out, held))


def headline(declared: Topology, head: Mapping[str, Any]) -> str:
    """Who leads, in a sentence."""
    many = counted(len(head["candidates"]), "candidate")
    if head["state"] == "leading":
        since = _time(head["elected_at"])
        who = f"{head['slot']} (host {head['host']}, pid {head['pid']})"
        return f"{who} leads {declared.app} with token {head['token']} since {since} UTC; {many}"
    if head["state"] == "nobody":
        return f"nobody leads {declared.app}: there is no candidate; `holdfast run` starts one"
    return f"the leader of {declared.app} is being elected; {many}"


def tasks_table(console: Console, rows: Sequence[Mapping[str, Any]]) -> Table:
    """The leader tasks as a table that fits the console."""
    cells = [
        (
            escape(row["task"]),
            escape(row["schedule"]),
            _time(row["last_started"]),
            _RESULTS[row["result"]],
            f"{_time(row['next'])}{' (due or running)' if row['is_due'] else ''}",
            f"{row['runs']:,}",
            f"{row['failures']:,}" if row["failures"] else "",
            f"{row['missed']:,}" if row["missed"] else "",
            "" if row["last_records"] is None else f"{row['last_records']:,}",
        )
        for row in rows
    ]
    return fitting_table(console, _TASKS, cells)


_RESULTS = {None: "", "done": "[green]done[/]", "failed": "[red]failed[/]"}


def elections_table(console: Console, rows: Sequence[Mapping[str, Any]]) -> Table:
    """The elections as a table that fits the console."""
    cells = [
        (
            str(row["token"]),
            escape(row["slot"]),
            escape(row["host"]),
            str(row["pid"]),
            _time(row["elected_at"]),
            _time(row["until"]),
        )
        for row in rows
    ]
    return fitting_table(console, _ELECTIONS, cells)


def _time(iso: str | None) -> str:
    return f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M:%S}" if iso else ""


def register(app: typer.Typer) -> None:
    """Add `leader` to `app`."""
    app.command()(leader)
