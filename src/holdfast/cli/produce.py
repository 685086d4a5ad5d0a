"""`holdfast produce`: events from the application's own producers."""

from __future__ import annotations

import time
from pathlib import Path

import typer
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import INTERRUPTED, err, is_live, out
from holdfast.cli.feed import Feed, SetOption, parse_arguments
from holdfast.cli.topology import TopologyFile
from holdfast.cli.words import counted
from holdfast.errors import TopologyError
from holdfast.topology import load, resolve

_LOOK_S = 0.1


def produce(
    producers: list[str] = typer.Argument(None, metavar="PRODUCER", help="Which ones; all by default."),
    settings: list[str] = SetOption,
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
) -> None:
    """Publish what producers of the topology yield, and wait until the brokers have acknowledged it."""
    declared = load(topology)
    names = list(dict.fromkeys(producers or declared.producers))
    if not names:
        raise TopologyError(f"{topology}: no `producers` are declared.")
    resolved = resolve(declared, only=[f"producers.{name}" for name in names])
    arguments = parse_arguments(settings or (), resolved.producers)
    servers = resolve_bootstrap_servers(bootstrap_servers, declared)
    feed = Feed(declared, [resolved.producers[name] for name in names], arguments, servers)
    try:
        _show(feed)
    except KeyboardInterrupt:
        feed.end()
        err.print(f"[yellow]interrupted[/] after {counted(feed.published, 'event')}.", highlight=False)
        raise typer.Exit(INTERRUPTED) from None
    feed.raise_error()
    rate = feed.published / feed.seconds if feed.seconds else 0.0
    out.print(
        f"{counted(feed.published, 'event')} published in {feed.seconds:.1f} s ({rate:,.0f}/s), "
        "all acknowledged.",
        highlight=False,
    )


def _show(feed: Feed) -> None:
    """Run a feed to its end, with a counter in a terminal."""
    columns = (SpinnerColumn(), TextColumn("publishing"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not is_live(err)) as progress:
        task = progress.add_task("publishing", total=None)
        feed.start()
        while feed.is_alive():
            time.sleep(_LOOK_S)
            progress.update(task, completed=feed.published)


def register(app: typer.Typer) -> None:
    """Add `produce` to `app`."""
    app.command()(produce)
