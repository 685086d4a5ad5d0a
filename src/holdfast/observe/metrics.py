"""Metrics of the workers under one supervisor, for Prometheus.

They are read from what the supervisor knows anyway: nothing is counted twice, and a worker does nothing more
for being watched. Names and units follow https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from holdfast.errors import MetricsError
from holdfast.runtime.status import LEADING, RETRYING
from holdfast.runtime.supervisor import WorkerState, WorkerView

WORKER = ("processor", "slot")
"""The labels of each series; with one more where a worker has several."""

LOCAL = "127.0.0.1"
"""Where metrics are served unless a host is named: they say much, and to anybody who asks."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where metrics are served; port 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``PORT`` or ``HOST:PORT``; an IPv6 host stands in brackets.

        Raises:
            MetricsError: it is neither.
        """
        host, _, port = text.rpartition(":")
        if not port.isdecimal() or int(port) > 65535 or (":" in text and not host):
            raise MetricsError(f"metrics cannot be served at {text!r}: give a port, or HOST:PORT")
        return cls(host.strip("[]") or LOCAL, int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/metrics"


class WorkerMetrics(Collector):
    """The workers as they were at the last `update`. Read from any thread."""

    def __init__(self) -> None:
        self._workers: tuple[WorkerView, ...] = ()

    def update(self, views: Sequence[WorkerView]) -> None:
        """Take the workers as they are now. Called by the thread that polls the supervisor."""
        # Copies: a view changes while it is read by the server's thread. A report inside it is frozen.
        self._workers = tuple(replace(view) for view in views)

    def collect(self) -> Iterator[Metric]:
        """Yield all families; called for each scrape."""
        workers = [view for view in self._workers if view.spec.counts == "record"]
        for name, text, value in _GAUGES:
            gauge = GaugeMetricFamily(name, text, labels=WORKER)
            for view in workers:
                found = value(view)
                if found is not None:
                    gauge.add_metric(_labels(view), found)
            yield gauge
        for name, text, count in _COUNTERS:
            counter = CounterMetricFamily(name, text, labels=WORKER)
            for view in workers:
                counter.add_metric(_labels(view), count(view))
            yield counter
        yield from _leadership([view for view in self._workers if view.spec.counts == "run"])
        shards = GaugeMetricFamily(
            "holdfast_shards", "Shards that the worker owns, by what they do.", labels=(*WORKER, "state")
        )
        for view in workers:
            for state, number in view.status.shards.items():
                shards.add_metric([*_labels(view), state], number)
        yield shards


class MetricsServer:
    """Serves metrics over HTTP while its block lasts.

    Args:
        metrics: what to serve.
        address: where.

    Attributes:
        address: where it really is, when a free port was asked for.

    Raises:
        MetricsError: the address is taken, or not this machine's.
    """

    def __init__(self, metrics: WorkerMetrics, address: Address) -> None:
        registry = CollectorRegistry()
        registry.register(metrics)
        self._server: WSGIServer
        self._thread: threading.Thread
        try:
            self._server, self._thread = start_http_server(address.port, address.host, registry)
        except OSError as error:
            why = error.strerror or error
            raise MetricsError(
                f"metrics cannot be served at {address}: {why}. Name another port or host."
            ) from error
        self.address = Address(address.host, self._server.server_port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _leadership(candidates: Sequence[WorkerView]) -> Iterator[Metric]:
    leads = GaugeMetricFamily("holdfast_leader", "1 for the candidate that leads, else 0.", labels=("slot",))
    runs = CounterMetricFamily("holdfast_leader_runs", "Runs of leader tasks that ended.", labels=("slot",))
    for view in candidates:
        leads.add_metric([view.spec.slot], float(view.status.role.startswith(LEADING)))
        runs.add_metric([view.spec.slot], view.records)
    yield leads
    yield runs


def _labels(view: WorkerView) -> tuple[str, str]:
    return view.spec.processor, view.spec.slot


_GAUGES: tuple[tuple[str, str, Callable[[WorkerView], float | None]], ...] = (
    (
        "holdfast_worker_up",
        "1 while the worker works; 0 while it starts, is to be started again, has ended or has failed.",
        lambda view: float(view.state is WorkerState.RUNNING),
    ),
    (
        "holdfast_restore_remaining_records",
        "Changelog offsets still to pass, over all of the worker's shards under restore.",
        lambda view: view.status.restoring,
    ),
    (
        "holdfast_restore_remaining_seconds",
        "How long the restore under way will take at its rate so far; missing while that is not known.",
        lambda view: 0.0 if not view.status.restoring else view.restore_seconds_left,
    ),
    (
        "holdfast_standby_shards",
        "Shards of other workers that are kept warm.",
        lambda view: view.status.standbys,
    ),
    (
        "holdfast_standby_behind_records",
        "Changelog offsets that the warm copies are behind.",
        lambda view: view.status.behind,
    ),
    (
        "holdfast_sink_waiting",
        "1 while the worker's sink does not answer and its inputs wait.",
        lambda view: float(bool(view.status.waits_for)),
    ),
    (
        "holdfast_retrying_shards",
        "Shards that wait for another attempt at a record.",
        lambda view: view.status.shards.get(RETRYING, 0),
    ),
)

_COUNTERS: tuple[tuple[str, str, Callable[[WorkerView], float]], ...] = (
    ("holdfast_records", "Records handled, over all lives of the worker.", lambda view: view.records),
    ("holdfast_commits", "Units committed, over all lives of the worker.", lambda view: view.status.commits),
    ("holdfast_aborts", "Units that were done again, over all lives.", lambda view: view.status.aborts),
    ("holdfast_dead_letters", "Records set aside, over all lives.", lambda view: view.dead_letters),
    ("holdfast_dropped", "Records dropped, over all lives.", lambda view: view.status.dropped),
    (
        "holdfast_restored_records",
        "Changelog records read, in the worker's present life.",
        lambda view: view.status.restored,
    ),
    ("holdfast_worker_restarts", "How often the worker was started again.", lambda view: view.restarts),
)
