"""`holdfast up`, `down` and `status`: the embedded cluster from the command line."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from holdfast.cli.cluster_progress import ClusterProgress
from holdfast.cli.console import INTERRUPTED, err, out
from holdfast.cli.rows import AsJson, print_json_lines, wants_json
from holdfast.cli.words import counted
from holdfast.local.cluster import EmbeddedCluster
from holdfast.local.jars import kafka_version
from holdfast.local.status import NodeState, NodeStatus

NOT_RUNNING = 3
"""Exit code of `status` when no broker runs; the code that service scripts use for it."""


_COLOURS = {NodeState.RUNNING: "green", NodeState.STARTING: "yellow", NodeState.STOPPED: "red"}

NodesOption = Annotated[
    int | None,
    typer.Option(
        "--nodes",
        metavar="N",
        min=1,
        max=9,
        show_default=False,
        help="Brokers to start. Default: 3, or as before.",
    ),
]
KeepOption = Annotated[
    bool,
    typer.Option(
        "--keep", help="Keep topics and positions when the cluster is stopped with `holdfast down`."
    ),
]
DeleteOption = Annotated[
    bool,
    typer.Option("--delete-data", help="Delete topics and positions even if they are kept (`up --keep`)."),
]


def up(nodes: NodesOption = None, keep: KeepOption = False) -> None:
    """Start the local Kafka cluster, or the nodes of it that do not run.

    The brokers go on in the background until `holdfast down`. The first start downloads Apache Kafka.
    """
    began = time.monotonic()
    progress = ClusterProgress()
    cluster = EmbeddedCluster(nodes=nodes, keep=keep, progress=progress)
    try:
        with progress:
            started = cluster.start()
    except KeyboardInterrupt:
        running = sum(1 for node in cluster.status() if node.pid)
        err.print(
            f"[yellow]interrupted:[/] {counted(running, 'broker') if running else 'no broker'} left running.",
            highlight=False,
        )
        raise typer.Exit(INTERRUPTED) from None
    count = len(cluster.nodes)
    size = counted(count, "node")
    if not started:
        what = f"is already running: {size}"
    elif len(started) == count:
        what = f"is running: {size}, started in {time.monotonic() - began:.1f} s"
    else:
        names = ", ".join(map(str, started))
        what = f"is whole again: started node {names} of {count} in {time.monotonic() - began:.1f} s"
    _say(f"Apache Kafka {kafka_version()} {what}.")
    _say(f"Bootstrap servers: {cluster.bootstrap_servers}")
    _say(f"Folder: {cluster.folder}")
    _say(
        "`holdfast down` stops it and keeps its topics."
        if cluster.spec.keep
        else "`holdfast down` stops it and deletes its topics (`holdfast up --keep` keeps them)."
    )


def down(delete_data: DeleteOption = False) -> None:
    """Stop the local Kafka cluster. Topics are deleted unless it was started with --keep; logs stay."""
    with ClusterProgress() as progress:
        cluster = EmbeddedCluster(progress=progress)
        was_running = cluster.is_running
        had_topics = (cluster.folder / "nodes").exists()
        kept = bool(cluster.status()) and cluster.spec.keep and not delete_data
        cluster.stop(delete_data=delete_data)
    _say("The embedded cluster is stopped." if was_running else "The embedded cluster was not running.")
    if had_topics:
        _say("Its topics are kept." if kept else "Its topics are deleted.")
    if was_running:
        _say(f"Logs: {cluster.folder / 'logs'}")


def status(as_json: bool = AsJson) -> None:
    """Show the local Kafka cluster. Exit code 3 if no broker runs."""
    cluster = EmbeddedCluster()
    nodes = cluster.status()
    if wants_json(as_json):
        print_json_lines(map(_row, nodes))
    else:
        _print_status(cluster, nodes)
    stopped = [str(node.id) for node in nodes if node.state is NodeState.STOPPED]
    if len(stopped) == len(nodes):
        err.print("The embedded cluster is not running; `holdfast up` starts it.")
        raise typer.Exit(NOT_RUNNING)
    if stopped:
        err.print(f"Not running: node {', '.join(stopped)}; `holdfast up` starts what is missing.")


def _print_status(cluster: EmbeddedCluster, nodes: tuple[NodeStatus, ...]) -> None:
    if nodes:
        out.print(_table(nodes))
        _say(f"Bootstrap servers: {cluster.bootstrap_servers}")
        _say(f"Topics on `holdfast down`: {'kept' if cluster.spec.keep else 'deleted'}")
    _say(f"Folder: {cluster.folder} (logs in {cluster.folder / 'logs'})")


def _row(node: NodeStatus) -> dict[str, Any]:
    """A node for programs; memory in bytes."""
    return {
        "node": node.id,
        "state": node.state.value,
        "address": node.address,
        "pid": node.pid,
        "memory": node.memory,
        "log": str(node.log),
    }


def _table(nodes: tuple[NodeStatus, ...]) -> Table:
    table = Table("node", "state", "address", "pid", "memory", title=f"Apache Kafka {kafka_version()}")
    for node in nodes:
        table.add_row(
            str(node.id),
            f"[{_COLOURS[node.state]}]{node.state}[/]",
            node.address,
            str(node.pid or "-"),
            f"{node.memory / 1e6:.0f} MB" if node.pid else "-",
        )
    return table


def _say(text: str) -> None:
    """Print a line of the result; soft-wrapped, so that an address or a path can be copied in one piece."""
    out.print(escape(text), highlight=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add `up`, `down` and `status` to `app`."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
