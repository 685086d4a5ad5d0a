"""`holdfast verify`: does what the application and the brokers promise hold?"""

from __future__ import annotations

import time
from pathlib import Path

import typer

from holdfast.checks import CheckResult, run_checks
from holdfast.cli.app import App
from holdfast.cli.check_report import as_row, choose_checks, print_result, print_verdict
from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import err, out
from holdfast.cli.rows import print_json_lines
from holdfast.cli.scan_progress import ScanProgress
from holdfast.cli.topology import TopologyFile
from holdfast.cli.verify_replicas import replicas
from holdfast.errors import BrokersUnreachable
from holdfast.kafka.drain import group_inputs
from holdfast.kafka.groups import Drained, GroupAdmin
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.topic_reader import ClusterTopicReader
from holdfast.topology import ResolvedTopology, Topology, load, resolve

_POLL_S = 0.2

app = App(name="verify", help="Check what the application and the brokers promise.", no_args_is_help=True)


@app.callback()
def verify() -> None:
    """Check what the application and the brokers promise."""


@app.command()
def invariants(
    names: list[str] = typer.Argument(
        None, metavar="CHECK", help="Function names of checks; all by default."
    ),
    wait: float = typer.Option(
        0.0,
        "--wait",
        metavar="SECONDS",
        help="Wait so long for the processors to catch up with their inputs.",
    ),
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    as_json: bool = typer.Option(False, "--json", help="One JSON object per check and line."),
) -> None:
    """Run the declared checks over the committed records; exit code 1 if one does not hold."""
    declared = load(topology)
    resolved = resolve_for_reading(declared)
    chosen = choose_checks(resolved.checks, names or ())
    servers = resolve_bootstrap_servers(bootstrap_servers, declared)
    _wait_until_drained(declared, servers, wait)
    results: list[CheckResult] = []
    with ScanProgress() as progress:
        reader = ClusterTopicReader(
            resolved, LogScanner(servers, declared.kafka, on_progress=progress.update)
        )
        for result in run_checks(chosen, reader):
            results.append(result)
            if not as_json:
                print_result(out, result)
    if as_json:
        print_json_lines(map(as_row, results))
    holds = all(result.ok for result in results) if as_json else print_verdict(out, results)
    if not holds:
        raise typer.Exit(1)


def resolve_for_reading(declared: Topology) -> ResolvedTopology:
    """Import what a reader of the application's data needs: events, tables and checks.

    Raises:
        TopologyErrors: some of it cannot be imported.
    """
    topics = (f"topics.{name}" for name in declared.topics)
    processors = (f"processors.{name}" for name in declared.native)
    return resolve(declared, only=[*topics, *processors, "checks"])


def _wait_until_drained(declared: Topology, servers: str, seconds: float) -> None:
    """Wait until the processors have handled their inputs; brokers that are away meanwhile may come back.

    Raises:
        BrokersUnreachable: the brokers do not answer, also after `seconds`.
    """
    deadline = time.monotonic() + seconds
    inputs = group_inputs(declared)
    with GroupAdmin(servers, declared.kafka) as admin:
        while True:
            late = time.monotonic() >= deadline
            try:
                found = admin.is_drained(inputs)
            except BrokersUnreachable:
                if late:
                    raise
            else:
                if found.drained:
                    return
                if late:
                    _warn(found)
                    return
            time.sleep(min(_POLL_S, max(0.0, deadline - time.monotonic())))


def _warn(found: Drained) -> None:
    behind = {group: lag for group, lag in found.lag.items() if lag}
    listed = ", ".join(f"{group} by {lag:,}" for group, lag in behind.items())
    err.print(
        f"[yellow]not everything is processed yet[/] ({listed or 'a transaction is open'}); "
        "what is missing may look like a violation.",
        highlight=False,
        soft_wrap=True,
    )


def register(root: typer.Typer) -> None:
    """Add `verify` to `root`."""
    app.command()(replicas)
    root.add_typer(app)
