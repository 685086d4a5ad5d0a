"""`holdfast switch`: another version of a processor becomes live, and the one that was live retires."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import err
from holdfast.cli.replay_into import the_live_one
from holdfast.cli.rows import AsJson
from holdfast.cli.standstill import (
    await_alone,
    confirm,
    native,
    show_positions,
    versions,
)
from holdfast.cli.state import Processor
from holdfast.cli.topology import TopologyFile
from holdfast.errors import ReplayRefused
from holdfast.kafka.groups import GroupAdmin
from holdfast.kafka.moves import Move, Mover
from holdfast.kafka.positions import Role
from holdfast.kafka.standing import standing
from holdfast.kafka.versions import KnownVersion
from holdfast.runtime.replay_steps import inputs_of, redriven_of
from holdfast.runtime.versions import Side, SwitchStep, plan_switch, switch_notes, with_redriven
from holdfast.topology import ProcessorDecl, Topology, load
from holdfast.topology.fields import UNVERSIONED


def switch(
    processor: str = Processor,
    to: str = typer.Option(
        ...,
        "--to",
        metavar="VERSION",
        help=f"The version that becomes live; `{UNVERSIONED}` for the one without a version.",
    ),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do it without asking."),
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    as_json: bool = AsJson,
) -> None:
    """Make another version of a processor live, in one transaction; the one that was live retires."""
    declared = load(topology)
    owner = native(declared, processor)
    target = owner.in_version(None if to == UNVERSIONED else to)
    servers = resolve_bootstrap_servers(bootstrap_servers, declared)
    found = versions(declared, owner, servers)
    live, next_ = the_live_one(owner, found), _require_target(owner, target, found)
    if next_.decl.group_id == live.decl.group_id:
        err.print(f"{live.name} of {owner.name} is live already; there is nothing to do.", markup=False)
        return
    _switch(declared, live.decl, next_.decl, servers, yes=yes, as_json=as_json)
    err.print(
        f"{next_.name} of {owner.name} is live now, and {live.name} is retired: its workers refuse to start. "
        f"Start those of {next_.name} with `holdfast run`. `holdfast switch {owner.name} --to {live.name}` "
        "goes back.",
        markup=False,
    )


def _require_target(
    owner: ProcessorDecl, target: ProcessorDecl, found: tuple[KnownVersion, ...]
) -> KnownVersion:
    """The version that is to be live.

    Raises:
        ReplayRefused: it was never prepared.
    """
    for it in found:
        if it.decl.group_id == target.group_id and it.role is not Role.UNKNOWN:
            return it
    known = ", ".join(f"{it.name} ({it.role.value})" for it in found if it.role is not Role.UNKNOWN)
    raise ReplayRefused(
        f"there is no version {target.version_name} of {owner.name} on this cluster, or it was never "
        f"prepared (known: {known}). `holdfast replay {owner.name} --from beginning --into VERSION` prepares "
        "one. Nothing was changed."
    )


def _switch(
    declared: Topology, live: ProcessorDecl, target: ProcessorDecl, servers: str, *, yes: bool, as_json: bool
) -> None:
    """Plan with nobody in either group, ask, and do it."""
    with GroupAdmin(servers, declared.kafka) as admin:
        for each in (live, target):
            await_alone(admin, each)
    versions(declared, live, servers)
    places = (inputs_of(declared, live), redriven_of(declared, live))
    stands = [
        standing(each.group_id, [*places[0], *places[1]], servers, declared.kafka) for each in (live, target)
    ]
    inputs, redriven = ([{place: it.committed[place] for place in some} for it in stands] for some in places)
    sides = with_redriven(
        Side(live.version_name, inputs[0]), Side(target.version_name, inputs[1]), tuple(redriven)
    )
    steps = plan_switch(*sides)
    _show(steps, sides[0], sides[1], as_json)
    confirm(yes)
    notes = switch_notes(steps, sides[0], sides[1], stands[1].ids)
    moves = [
        Move(
            each.group_id,
            stand.committed,
            {p: it.offset or 0 for p, it in side.committed.items()},
            note,
        )
        for each, stand, side, note in zip((live, target), stands, sides, notes, strict=True)
    ]
    mover = Mover(live.switch_id, servers, declared.kafka)
    mover.move(moves, f"switching {live.name} to {target.version_name}", lambda _: None)


def _show(steps: tuple[SwitchStep, ...], live: Side, target: Side, as_json: bool) -> None:
    """Say where both stand, and from where on the new one's outputs count."""
    rows: list[dict[str, Any]] = [
        {
            "input": it.place.topic,
            "partition": it.place.partition,
            live.name: it.live,
            target.name: it.target,
            "outputs_from": it.front,
        }
        for it in steps
    ]
    show_positions(rows, as_json)
    behind = sum(it.front - it.target for it in steps)
    err.print(
        f"{target.name} goes on where it stands, and writes to the declared topics from `outputs_from` on; "
        f"below, {live.name} has written its outputs ({behind:,} offsets to pass)",
        markup=False,
        highlight=False,
    )


def register(app: typer.Typer) -> None:
    """Add `switch`."""
    app.command()(switch)
