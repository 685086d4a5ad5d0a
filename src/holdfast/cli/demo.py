"""`holdfast demo`: the whole application once, from starting brokers to a verified result."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import typer

from holdfast.checks import CheckResult, run_checks
from holdfast.cli.check_report import choose_checks
from holdfast.cli.cluster_progress import ClusterProgress
from holdfast.cli.console import INTERRUPTED, err, out
from holdfast.cli.demo_report import DemoResult, ProcessorResult, print_report
from holdfast.cli.demo_view import DemoView, Moment
from holdfast.cli.feed import Feed, SetOption, parse_arguments
from holdfast.cli.orderly_end import orderly_signals
from holdfast.cli.scan_progress import ScanProgress
from holdfast.cli.topology import TopologyFile
from holdfast.cli.workers_option import Workers
from holdfast.engine.plan import check_handler
from holdfast.errors import TopologyError, WorkerError
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.drain import DrainWatch, Look, group_inputs
from holdfast.kafka.provision import provision
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.settings import checked
from holdfast.kafka.topic_reader import ClusterTopicReader
from holdfast.local.cluster import EmbeddedCluster
from holdfast.local.scratch import ScratchFolder
from holdfast.runtime.launch import LaunchSettings, worker_specs
from holdfast.runtime.sources import Arguments
from holdfast.runtime.supervisor import Supervisor, WorkerState, WorkerView
from holdfast.sinks.check import check_sink_here
from holdfast.topology import ResolvedTopology, check_file

READY_S = 90.0
"""Seconds for all workers to own their shards."""

_POLL_S = 0.1
_FOLDER_PREFIX = "holdfast-demo-"


def demo(
    settings: list[str] = SetOption,
    topology: Path = TopologyFile,
    bootstrap_servers: str | None = typer.Option(
        None,
        "--bootstrap-servers",
        metavar="HOST:PORT,...",
        help="Use this cluster; without it, brokers of its own are started and stopped again.",
        show_default=False,
    ),
    workers: int | None = Workers,
    timeout: float = typer.Option(
        600.0, metavar="SECONDS", help="Give up if it is not all processed by then."
    ),
) -> None:
    """Run the whole application once: start brokers, publish, process, verify, stop.

    Exit code 0 if every declared check holds and no worker failed. Nothing is left running.
    """
    resolved = check_file(topology, check_handler, checked, check_sink_here, running=())
    if not resolved.producers or not resolved.topology.processors:
        raise TopologyError(f"{topology}: a demo needs `producers` and `processors`.")
    arguments = parse_arguments(settings or (), resolved.producers)
    view = DemoView(err)
    try:
        with orderly_signals(), _cluster(bootstrap_servers, view) as servers:
            result = Demo(resolved, servers, view, workers=workers, timeout=timeout).run(arguments)
    except KeyboardInterrupt:
        err.print("[yellow]interrupted;[/] workers and brokers are stopped.")
        raise typer.Exit(INTERRUPTED) from None
    result.times = view.times
    if not print_report(out, result):
        raise typer.Exit(1)


@contextlib.contextmanager
def _cluster(given: str | None, view: DemoView) -> Iterator[str]:
    """Give the brokers to use, and stop those that were started."""
    if given is not None:
        yield given
        return
    progress = ClusterProgress()
    cluster = EmbeddedCluster.temporary(progress=progress)
    try:
        with view.phase("start Apache Kafka"), progress:
            cluster.start()
        yield cluster.bootstrap_servers
    finally:
        with view.phase("stop Apache Kafka"), progress:
            cluster.stop()
        shutil.rmtree(cluster.folder, ignore_errors=True)


class Demo:
    """One run of an application on a cluster.

    Args:
        resolved: the application.
        servers: the brokers.
        view: shows what happens.
        workers: workers per processor; None for what the topology declares.
        timeout: seconds for publishing and processing.
    """

    def __init__(
        self, resolved: ResolvedTopology, servers: str, view: DemoView, *, workers: int | None, timeout: float
    ) -> None:
        self._resolved = resolved
        self._topology = resolved.topology
        self._servers = servers
        self._view = view
        self._workers = workers
        self._timeout = timeout

    def run(self, arguments: Arguments) -> DemoResult:
        """Run it all; whatever happens, no worker is left.

        Raises:
            WorkerError: a worker failed, or it was not all processed in time.
            HoldfastError: anything else that went wrong.
        """
        result = DemoResult()
        with self._view.phase("create topics"):
            provision(TopicAdmin(self._servers, self._topology.kafka), self._topology)
        with ScratchFolder(_FOLDER_PREFIX) as folder:
            home = folder.path
            specs = worker_specs(self._topology, LaunchSettings(self._servers, home, "demo", self._workers))
            try:
                self._work(Supervisor(specs), arguments, result)
            except WorkerError as error:
                folder.keep()
                raise WorkerError(f"{error}\nThe workers' logs are kept in {home / 'logs'}.") from error
        with self._view.phase("check invariants"), ScanProgress() as progress:
            self._check(result, progress)
        return result

    def _work(self, supervisor: Supervisor, arguments: Arguments, result: DemoResult) -> None:
        feed = Feed(self._topology, tuple(self._resolved.producers.values()), arguments, self._servers)
        try:
            with self._view.phase("start workers"):
                supervisor.start()
                self._wait_until_ready(supervisor)
            with self._view.phase("publish and process", live=True):
                began = time.monotonic()
                feed.start()
                self._wait_until_drained(supervisor, feed)
                result.draining_s = time.monotonic() - began
            result.published, result.publishing_s = feed.published, feed.seconds
            result.processors = self._processor_results(supervisor.views)
        finally:
            feed.end()
            with self._view.phase("stop workers"):
                supervisor.stop()
        self._require_health(supervisor)

    def _wait_until_ready(self, supervisor: Supervisor) -> None:
        deadline = time.monotonic() + READY_S
        while waiting := self._without_shards(supervisor.views):
            self._poll(supervisor)
            if time.monotonic() > deadline:
                raise WorkerError(f"not ready within {READY_S:.0f} s: {', '.join(sorted(waiting))}.")

    def _without_shards(self, views: tuple[WorkerView, ...]) -> set[str]:
        """The processors whose shards are not all owned by a worker yet."""
        owned = dict.fromkeys((view.spec.processor for view in views), 0)
        for view in views:
            owned[view.spec.processor] += view.status.shards.get("running", 0)
        native = self._topology.native
        return {
            name
            for name, n in owned.items()
            if n < (self._topology.partitions(name) if name in native else 1)
        }

    def _wait_until_drained(self, supervisor: Supervisor, feed: Feed) -> None:
        began = time.monotonic()
        published: float | None = None
        with DrainWatch(self._servers, group_inputs(self._topology), self._topology.kafka) as watch:
            while published is None or not watch.is_drained(since=published):
                self._poll(supervisor)
                if published is None and not feed.is_alive():
                    feed.raise_error()
                    # A look that begins from now on sees all that was published.
                    published = time.monotonic()
                self._view.show(self._moment(supervisor, feed, began, watch.last))
                if time.monotonic() - began > self._timeout:
                    raise WorkerError(f"not everything was processed within {self._timeout:.0f} s.")

    def _poll(self, supervisor: Supervisor) -> None:
        supervisor.poll(_POLL_S)
        self._require_health(supervisor)

    def _moment(self, supervisor: Supervisor, feed: Feed, began: float, look: Look | None) -> Moment:
        seconds = feed.seconds or time.monotonic() - began
        return Moment(
            feed.published,
            feed.published / seconds if seconds else 0.0,
            feed.is_alive(),
            supervisor.views,
            look.found.lag if look else None,
        )

    def _require_health(self, supervisor: Supervisor) -> None:
        """Refuse to go on when a worker cannot.

        Raises:
            WorkerError: one failed; names each with its reason.
        """
        reasons = []
        for view in supervisor.failed:
            reasons += [f"{view.spec.processor} ({view.spec.slot}): {why}" for why in _reasons(view)]
        if reasons:
            raise WorkerError("workers failed:\n" + "\n".join(reasons))

    def _processor_results(self, views: tuple[WorkerView, ...]) -> tuple[ProcessorResult, ...]:
        results = []
        for name in self._topology.processors:
            mine = [view for view in views if view.spec.processor == name]
            commits = sum(view.status.commits for view in mine)
            results.append(
                ProcessorResult(
                    name,
                    len(mine),
                    sum(view.records for view in mine),
                    commits if name in self._topology.native else None,
                    sum(view.dead_letters for view in mine),
                    sum(view.restarts for view in mine),
                )
            )
        return tuple(results)

    def _check(self, result: DemoResult, progress: ScanProgress) -> None:
        scanner = LogScanner(self._servers, self._topology.kafka, on_progress=progress.update)
        reader = ClusterTopicReader(self._resolved, scanner)
        found: list[CheckResult] = []
        if self._resolved.checks:
            found.extend(run_checks(choose_checks(self._resolved.checks), reader))
        result.checks = found
        result.topics = {name: sum(1 for _ in reader.events(name)) for name in self._topology.topics}


def _reasons(view: WorkerView) -> list[str]:
    shards = [f"shard {number}: {why}" for number, why in view.shard_failures.items()]
    if view.state is WorkerState.FAILED:
        shards.append(view.error or "failed")
    return shards


def register(app: typer.Typer) -> None:
    """Add `demo` to `app`."""
    app.command()(demo)
