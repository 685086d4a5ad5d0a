"""`holdfast run`: the processors of a topology, under one supervisor."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import typer

from holdfast.cli.broker_watch import BrokerWatch
from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import err
from holdfast.cli.run_view import RunDisplay
from holdfast.cli.topology import TopologyFile
from holdfast.cli.workers_option import Workers
from holdfast.engine.plan import check_handler
from holdfast.errors import ClusterMismatch, TopologyError, WorkerError
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.drain import DrainWatch, group_inputs
from holdfast.kafka.provision import compare, provision
from holdfast.kafka.settings import checked
from holdfast.local.cluster import running_bootstrap_servers
from holdfast.local.folders import home
from holdfast.runtime.launch import LaunchSettings, check_slot_prefix, default_slot_prefix, worker_specs
from holdfast.runtime.supervisor import Supervisor, WorkerView
from holdfast.sinks.check import check_sink_here
from holdfast.topology import Difference, Topology, check_file
from holdfast.topology.model import LEADER

FUTILE_RESTARTS = 5
"""Restarts of a worker without progress after which a run that is to drain gives up."""

_POLL_S = 0.25

Look = Callable[[Sequence[WorkerView]], None]
"""Is told of the workers."""


def run(
    processors: list[str] = typer.Argument(
        None,
        metavar="PROCESSOR",
        help="Which ones; all by default. `leader` stands for the leader tasks.",
    ),
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = BootstrapServers,
    workers: int | None = Workers,
    slot_prefix: str | None = typer.Option(
        None,
        "--slot-prefix",
        metavar="NAME",
        envvar="HOLDFAST_SLOT_PREFIX",
        help="Start of the workers' slots; must differ between machines. Default: the host's name.",
    ),
    logs: bool = typer.Option(True, help="Write the workers' output to log files, not to this terminal."),
    candidates: int = typer.Option(
        1, "--candidates", metavar="N", min=0, help="Candidates for the leader tasks, if any are declared."
    ),
    drain: bool = typer.Option(
        False, "--drain", help="Stop when everything that is in the topics has been processed."
    ),
    metrics: str | None = typer.Option(
        None,
        "--metrics",
        metavar="[HOST:]PORT",
        envvar="HOLDFAST_METRICS",
        help="Serve metrics for Prometheus under /metrics; for this machine only unless a host is named.",
    ),
) -> None:
    """Run processors until Ctrl-C or SIGTERM; workers that die are started again in their slot."""
    serving = _metrics_server(metrics) if metrics else None
    running = processors or ()
    declared = check_file(topology, check_handler, checked, check_sink_here, running=running).topology
    if drain and LEADER in running and declared.leader_tasks:
        raise TopologyError("leader tasks have no end; --drain is for processors only")
    servers = resolve_bootstrap_servers(bootstrap_servers, declared)
    prefix = check_slot_prefix(slot_prefix) if slot_prefix else default_slot_prefix()
    settings = LaunchSettings(servers, home(), prefix, workers, logs, 0 if drain else candidates)
    specs = worker_specs(declared, settings, running)
    prepare_topics(declared, servers)
    reach = BrokerWatch(servers, declared.kafka)
    with ExitStack() as stack:
        watch = None
        if drain:
            inputs = group_inputs(declared, running)
            watch = stack.enter_context(DrainWatch(servers, inputs, declared.kafka))
        look = _nobody_looks if serving is None else stack.enter_context(serving())
        supervise(Supervisor(specs), watch, reach, look)


def prepare_topics(declared: Topology, servers: str) -> None:
    """Make sure that the cluster is as declared; topics are created on the embedded cluster only.

    Raises:
        ClusterMismatch: topics are missing on another cluster, or anything differs.
        BrokersUnreachable: no broker answers.
    """
    admin = TopicAdmin(servers, declared.kafka)
    if share_a_server(servers, running_bootstrap_servers() or ""):
        provision(admin, declared)
        return
    differences = compare(admin, declared)
    if differences:
        raise ClusterMismatch(mismatch_text(differences))


def share_a_server(servers: str, others: str) -> bool:
    """Whether two lists of `host:port` name the same cluster: one server in both is enough."""
    return not _set_of(servers).isdisjoint(_set_of(others))


def mismatch_text(differences: Collection[Difference]) -> str:
    """What differs, by what can be done: some of it by `holdfast apply`, the rest by a person."""
    missing = [it.text for it in differences if not it.is_mismatch]
    others = [it.text for it in differences if it.is_mismatch]
    parts = []
    if others:
        parts += ["the cluster is not as declared:", *others]
    if missing:
        first = "once that is settled, create them" if others else "create them"
        parts += [f"topics are missing; {first} with `holdfast apply`:", *missing]
    return "\n".join(parts)


def _set_of(servers: str) -> set[str]:
    named = {server.strip() for server in servers.split(",")} - {""}
    # What a user writes for this machine; the embedded cluster says 127.0.0.1.
    return {re.sub(r"^localhost(?=:)", "127.0.0.1", server) for server in named}


class FutileRestarts:
    """Tells when a worker is started again and again without getting anywhere."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}

    def look(self, views: Sequence[WorkerView]) -> None:
        """Compare with the last progress of each worker.

        Raises:
            WorkerError: a worker was restarted too often since.
        """
        for view in views:
            name = f"{view.spec.processor} ({view.spec.slot})"
            records, restarts = self._seen.get(name, (-1, 0))
            if view.records != records:
                self._seen[name] = view.records, view.restarts
            elif view.restarts - restarts >= FUTILE_RESTARTS:
                raise WorkerError(
                    f"{name} was restarted {view.restarts - restarts} times without handling a record: "
                    f"{view.error or 'it died without a word'}. Log: {view.spec.log or 'above'}"
                )


def _nobody_looks(_: Sequence[WorkerView]) -> None:
    """Nobody asked for metrics."""


def _metrics_server(where: str) -> Callable[[], AbstractContextManager[Look]]:
    """Check an address; the result serves metrics there, and gives what tells them of the workers.

    Raises:
        MetricsError: it is no address.
    """
    # Most runs serve none, and need not load an HTTP server.
    from holdfast.observe.metrics import Address, MetricsServer, WorkerMetrics

    address = Address.parse(where)

    @contextmanager
    def serve() -> Iterator[Look]:
        metrics = WorkerMetrics()
        with MetricsServer(metrics, address) as server:
            err.print(f"metrics at {server.address}", highlight=False, soft_wrap=True)
            yield metrics.update

    return serve


def supervise(
    supervisor: Supervisor,
    watch: DrainWatch | None = None,
    reach: BrokerWatch | None = None,
    look: Look = _nobody_looks,
) -> None:
    """Keep workers running and shown until a signal, or until none can go on.

    Args:
        supervisor: the workers.
        watch: end also when it sees everything handled, or when anything failed, since then it never will.
        reach: tells when no broker answers.
        look: given the workers after every change.

    Raises:
        WorkerError: workers or shards failed for good.
        ClusterError: the brokers do not tell how far the groups are.
    """
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    futile = FutileRestarts()

    def done() -> bool:
        if watch is None:
            return False
        futile.look(supervisor.views)
        return bool(supervisor.failed) or watch.is_drained(since=0.0)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with RunDisplay(err) as display:
            try:
                supervisor.start()
                while not stopping and not supervisor.all_ended and not done():
                    display.update(supervisor.views)
                    supervisor.poll(_POLL_S)
                    look(supervisor.views)
                    if reach is not None and (news := reach.look(supervisor.views)):
                        display.say(news, style="yellow")
                display.update(supervisor.views)
            finally:
                display.stopping(supervisor.views)
                supervisor.stop()
                look(supervisor.views)
                display.stopped(supervisor.views)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    failed = supervisor.failed
    if failed:
        names = ", ".join(sorted({f"{v.spec.processor} ({v.spec.slot})" for v in failed}))
        logs = sorted({str(v.spec.log) for v in failed if v.spec.log})
        raise WorkerError(f"failed: {names}. Logs: {', '.join(logs) or 'above'}")


def register(app: typer.Typer) -> None:
    """Add `run`."""
    app.command()(run)
