"""What commands have in common that change a group while nobody works in it."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.markup import escape

from holdfast.cli.console import INTERRUPTED, err, out
from holdfast.cli.rows import plain_table, print_json_lines, print_table, wants_json
from holdfast.errors import BrokersUnreachable, ReplayRefused, TopologyError
from holdfast.kafka.groups import GroupAdmin
from holdfast.kafka.reader import PartitionReader, reader_settings
from holdfast.kafka.scan import SCAN_GROUP
from holdfast.kafka.settings import OPEN_TRANSACTION_S, consumer_config
from holdfast.kafka.versions import KnownVersion, known_versions, version_decls
from holdfast.runtime.replay import ReplayPlan
from holdfast.runtime.replay_steps import end_unfinished, inputs_of
from holdfast.topology import ProcessorDecl, Topology

_LEAVING_S = 2.0
"""Seconds beyond a session in which a worker that was stopped is still in the group."""

_POLL_S = 0.25


def native(declared: Topology, processor: str) -> ProcessorDecl:
    """The processor, which our own engine runs.

    Raises:
        TopologyError: it is not declared, or a Faust application.
    """
    owner = declared.processor(processor)
    if not isinstance(owner, ProcessorDecl):
        raise TopologyError(
            f'processor "{processor}" is a Faust application: it keeps positions and tables in a way of its '
            "own. Holdfast replays only what its own engine runs."
        )
    return owner


def await_alone(admin: GroupAdmin, owner: ProcessorDecl) -> None:
    """Wait until nobody is in the group, as long as the session of a worker that was stopped lasts.

    Raises:
        ReplayRefused: workers run.
        ClusterError: the brokers do not tell.
    """
    deadline = time.monotonic() + owner.session_timeout_ms / 1000 + _LEAVING_S
    told = False
    while members := admin.describe(owner.group_id).members:
        names = ", ".join(sorted(member.client_id for member in members))
        if time.monotonic() > deadline:
            raise ReplayRefused(
                f"workers of {owner.full_name} run: {names}. Stop them (`holdfast run`), on every machine, "
                "and try again. Nothing was changed."
            )
        if not told:
            told = True
            err.print(f"waiting for the sessions of {escape(names)} to end ...")
        time.sleep(_POLL_S)


def versions(
    declared: Topology, owner: ProcessorDecl, servers: str, *, only_look: bool = False
) -> tuple[KnownVersion, ...]:
    """The versions of a processor that the cluster knows of.

    What killed commands left open is ended first: positions cannot be read before. `only_look` waits for the
    brokers to end it instead, as it may be a command that still runs.

    Raises:
        ClusterError: the brokers do not tell.
    """
    settings = reader_settings(consumer_config(servers, SCAN_GROUP, declared.kafka))
    deadline = time.monotonic() + OPEN_TRANSACTION_S
    with contextlib.closing(PartitionReader(settings)) as reader:
        for decl in () if only_look else version_decls(reader, owner):
            end_unfinished(decl, servers, declared.kafka)
        while True:
            try:
                return known_versions(reader, owner, inputs_of(declared, owner), servers, declared.kafka)
            except BrokersUnreachable:
                # A worker that was killed, or hangs, may have left a transaction open.
                if time.monotonic() > deadline:
                    raise
                err.print("positions cannot be read yet; brokers end open transactions within 20 s ...")


def show_positions(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Print rows of positions: `input`, `partition`, and offsets."""
    if wants_json(as_json):
        print_json_lines(rows)
        return
    titles = list(rows[0])
    shown = plain_table(*titles, numbers=titles[1:])
    for row in rows:
        shown.add_row(escape(row["input"]), *(f"{row[title]:,}" for title in titles[1:]))
    print_table(shown, out)


def show_plan(plan: ReplayPlan, as_json: bool) -> None:
    """Print where a replay starts and ends, and what should be known before."""
    rows: list[dict[str, Any]] = [
        {"input": it.place.topic, "partition": it.place.partition, "from": it.start, "to": it.until}
        for it in plan.steps
    ]
    show_positions(rows, as_json)
    for note in plan.notes:
        err.print(note, markup=False, highlight=False)


def confirm(yes: bool) -> None:
    """Ask whether to do what was shown.

    Raises:
        ReplayRefused: there is nobody to ask.
        Exit: the answer was no, or Ctrl-C.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ReplayRefused(
            "nothing was changed: without a terminal to ask in, say --yes to do what is shown here"
        )
    try:
        agreed = typer.confirm("Do it?", err=True)
    except typer.Abort:
        err.print("\n[yellow]interrupted:[/] nothing was changed.")
        raise typer.Exit(INTERRUPTED) from None
    if not agreed:
        err.print("nothing was changed.")
        raise typer.Exit(1)
