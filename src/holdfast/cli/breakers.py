"""`holdfast breakers`: every circuit breaker of an application, and orders for them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import typer
from pydantic import TypeAdapter, ValidationError
from rich.markup import escape

from holdfast.cli.app import App
from holdfast.cli.breaker_rows import breaker_rows, breakers_table, order_rows, order_text, remarks
from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import err, out
from holdfast.cli.reason import as_reason, required_reason
from holdfast.cli.rows import AsJson, print_json_lines, print_table, wants_json
from holdfast.cli.scan_progress import ScanProgress
from holdfast.cli.topology import TopologyFile
from holdfast.cli.who import who
from holdfast.cli.words import counted, span
from holdfast.engine.breaker_log import Heard, Order
from holdfast.errors import TopologyError
from holdfast.kafka.control_log import ControlLog
from holdfast.kafka.scan import LogScanner
from holdfast.runtime.breaker_view import give_order, read_breakers
from holdfast.topology import Topology, load
from holdfast.topology.fields import Interval

FOLLOW_S = 5.0
"""Seconds in which workers that run follow an order: they look four times a second."""

NOT_FOLLOWED = 3
"""Exit code when a worker that was heard of lately does not follow an order in that time."""

app = App(name="breakers", help="Show the circuit breakers of all workers, and force them.")

_INTERVAL: TypeAdapter[int] = TypeAdapter(Interval)


Sink = typer.Argument(..., metavar="SINK", help="The sink whose breakers are meant, on all of its workers.")
By = typer.Option(None, "--by", metavar="NAME", help="Who gives the order. Default: this user, on this host.")


@app.callback(invoke_without_command=True)
def breakers(
    context: typer.Context,
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    as_json: bool = AsJson,
) -> None:
    """Show every circuit breaker: one for each sink of each worker, and who forced which.

    What a worker tells is at most 30 s old while all is well, and 5 s while a sink is in trouble.
    """
    if context.invoked_subcommand is not None:
        _refuse_lost_options(context)
        return
    declared = _with_breakers(topology)
    servers = resolve_bootstrap_servers(bootstrap_servers, declared)
    with ScanProgress() as progress:
        scanner = LogScanner(servers, declared.kafka, on_progress=progress.update)
        scanner.require(declared.controls_topic)
        found = read_breakers(scanner, declared)
    now = datetime.now(UTC)
    rows, orders = breaker_rows(found, declared, now), list(order_rows(found, now))
    if wants_json(as_json):
        print_json_lines([*rows, *orders])
    else:
        _print(rows, orders)
    if found.unreadable:
        err.print(
            f"[yellow]{counted(found.unreadable, 'record')} of {declared.controls_topic} cannot be read.[/]"
        )


def _refuse_lost_options(context: typer.Context) -> None:
    """Options before `force` would be those of the listing, and count for nothing."""
    given = [
        name
        for name in context.params
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    ]
    if given:
        raise typer.BadParameter("give options after the command, as in `holdfast breakers force SINK ...`")


def _print(rows: list[dict[str, Any]], orders: list[dict[str, Any]]) -> None:
    print_table(breakers_table(out, rows))
    for row in rows:
        if text := remarks(row):
            who = " ".join(filter(None, (row["processor"], row["slot"], row["sink"])))
            out.print(f"[yellow]{escape(who)}[/] {escape(text)}", soft_wrap=True, highlight=False)
    for order in orders:
        out.print(f"[magenta]{escape(order_text(order))}[/]", soft_wrap=True, highlight=False)


@app.command()
def force(
    sink: str = Sink,
    mode: str = typer.Argument(
        ...,
        metavar="open|closed",
        help="open: no call is made, and what feeds the sink waits. closed: all calls are made.",
    ),
    why: str = typer.Option(
        ..., "--why", metavar="TEXT", help="The reason, for all who look at the breakers."
    ),
    for_: str | None = typer.Option(
        None,
        "--for",
        metavar="DURATION",
        help="For how long, such as 30m; until it is released unless given.",
    ),
    by: str | None = By,
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
) -> None:
    """Force the breakers of a sink open or closed, on all of its workers, also those that start later."""
    if mode not in ("open", "closed"):
        raise typer.BadParameter(
            f'expected open or closed after the sink, got "{mode}"; `holdfast breakers release SINK` gives '
            "breakers back to themselves",
            param_hint="open|closed",
        )
    reason = required_reason(why, "whoever finds it forced")
    seconds = _seconds(for_) if for_ is not None else None
    forced = cast("Literal['open', 'closed']", mode)
    order = Order(sink=sink, mode=forced, by=_giver(by), why=reason, for_s=seconds)
    _give(order, topology, bootstrap_servers)


@app.command()
def release(
    sink: str = Sink,
    why: str = typer.Option("", "--why", metavar="TEXT", help="A reason, if it needs one."),
    by: str | None = By,
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
) -> None:
    """Give the breakers of a sink back to themselves: they begin closed, and open when calls fail."""
    order = Order(sink=sink, mode="automatic", by=_giver(by), why=as_reason(why))
    _give(order, topology, bootstrap_servers)


def _giver(by: str | None) -> str:
    return as_reason(by or "", "--by") or who()


def _give(order: Order, topology: Path, bootstrap_servers: str | None) -> None:
    declared = _with_breakers(topology)
    declared.sink(order.sink)
    users = [name for name, decl in declared.native.items() if order.sink in decl.downstreams]
    if not users:
        used = sorted({sink for decl in declared.native.values() for sink in decl.downstreams})
        raise TopologyError(
            f'no processor uses sink "{order.sink}", so it has no breakers (used: {", ".join(used)})'
        )
    servers = resolve_bootstrap_servers(bootstrap_servers, declared)
    with contextlib.closing(_controls(declared, servers)) as controls:
        given = give_order(controls, order, FOLLOW_S)
    done = _done(order, was_forced=given.was_forced)
    err.print(f"{order.sink} {done}: {_told(given.followers, users)}.", markup=False, highlight=False)
    if not all(given.followers.values()):
        _tell_who_does_not(given.followers)
        raise typer.Exit(NOT_FOLLOWED)


def _done(order: Order, *, was_forced: bool) -> str:
    if order.mode == "automatic":
        return "is released" if was_forced else "was not forced, so nothing had to be released"
    return f"is forced {order.mode}" + (f" for {span(order.for_s)}" if order.for_s is not None else "")


def _controls(declared: Topology, servers: str) -> ControlLog:
    """Open the topic.

    Raises:
        ClusterError: it does not exist, or cannot be read.
    """
    LogScanner(servers, declared.kafka).require(declared.controls_topic, "Nothing was changed.")
    return ControlLog(servers, declared.controls_topic, declared.kafka)


def _told(followers: Mapping[Heard, bool], users: list[str]) -> str:
    if not followers:
        return f"no worker of {', '.join(users)} answers; those that start will follow"
    follow = "follows" if len(followers) == 1 else "follow"
    return f"{sum(followers.values()):,} of {counted(len(followers), 'breaker')} {follow}"


def _tell_who_does_not(followers: Mapping[Heard, bool]) -> None:
    for heard, follows in followers.items():
        if not follows:
            report = heard.report
            err.print(
                f"[yellow]{escape(report.processor)} {escape(report.slot)}[/] (host {escape(report.host)}, "
                f"pid {report.pid}) does not follow yet; it does as soon as it reads the order. Nothing "
                "has to be given again.",
                highlight=False,
                soft_wrap=True,
            )


def _with_breakers(topology: Path) -> Topology:
    """Load a topology.

    Raises:
        TopologyError: it cannot be used, or has no breakers.
    """
    declared = load(topology)
    if not declared.has_breakers:
        raise TopologyError(
            f"{declared.source.path}: no processor has a `sink` or `asks` one, so there are no breakers."
        )
    return declared


def _seconds(text: str) -> float:
    try:
        return _INTERVAL.validate_python(text) / 1000
    except ValidationError as error:
        raise typer.BadParameter(f'{error.errors()[0]["msg"]}, got "{text}"', param_hint="--for") from None


def register(root: typer.Typer) -> None:
    """Add `breakers` to `root`."""
    root.add_typer(app)
