"""The faults: each happens to a lab under load, and is mended again after it was measured."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka.admin import AdminClient

from benchmarks.recovery.lab import Lab

FREEZE_S = 20.0
OUTAGE_S = 10.0
MILLION = 1_000_000

Act = Callable[[Lab, int], None]


def _nothing(_lab: Lab, _run: int) -> None:
    """Nothing is left to be mended."""


@dataclass(frozen=True)
class Fault:
    """One row of the table.

    Attributes:
        name: for the command line.
        title: for the table.
        bar: what it should stay below, in words.
        act: does it, and returns when the fault itself is over; given the run's number.
        mend: brings the lab back to two workers and three brokers, unmeasured.
        keys: keys that have a state before.
        options: keys of the processor.
        brokers: properties of the brokers that are not those of every embedded cluster.
    """

    name: str
    title: str
    bar: str
    act: Act
    mend: Act = _nothing
    keys: int = 600
    options: dict[str, Any] = field(default_factory=dict)
    brokers: dict[str, str] = field(default_factory=dict)


def _nobody(lab: Lab, _: int) -> None:
    """No fault: what the measurement itself shows."""
    lab.let_run(5)


def _kill_worker(lab: Lab, run: int) -> None:
    pid = lab.pid(run % 2)
    lab.kill(run % 2)
    lab.until(lambda: lab.workers[run % 2].views[0].pid not in (pid, None), "the worker was started again")


def _lose_worker(lab: Lab, run: int) -> None:
    lab.lose(run % 2)


def _begin_without_state(lab: Lab, _: int) -> None:
    lab.start_without_state()


def _bring_back_worker(lab: Lab, run: int) -> None:
    lab.start(run % 2)


def _freeze_worker(lab: Lab, run: int) -> None:
    pid = lab.pid(run % 2)
    os.kill(pid, signal.SIGSTOP)
    lab.let_run(FREEZE_S)
    os.kill(pid, signal.SIGCONT)


def _roll(lab: Lab, _: int) -> None:
    for slot in (0, 1):
        pid = lab.pid(slot)
        lab.stop(slot)
        lab.start(slot)
        assert lab.pid(slot) != pid


def _scale(lab: Lab, _: int) -> None:
    lab.start(2)
    lab.let_run(3)
    lab.stop(2)
    lab.until(lab.is_whole, "two workers have all shards again")


def _leader(lab: Lab) -> int:
    client = AdminClient({"bootstrap.servers": lab.cluster.bootstrap_servers})
    topic = lab.app.names.topic("adds")
    return int(client.list_topics(topic, timeout=10).topics[topic].partitions[0].leader)


def _kill_leader(lab: Lab, _: int) -> None:
    lab.cluster.kill(_leader(lab))


def _freeze_leader(lab: Lab, _: int) -> None:
    node = lab.cluster.node(_leader(lab))
    node.signal(signal.SIGSTOP)
    lab.let_run(FREEZE_S)
    node.signal(signal.SIGCONT)


def _lose_quorum(lab: Lab, _: int) -> None:
    """Two of three brokers are gone for a while; what is measured begins when they are back and serve."""
    leader = _leader(lab)
    for node in [leader, *(node.spec.id for node in lab.cluster.nodes if node.spec.id != leader)][:2]:
        lab.cluster.kill(node)
    lab.let_run(OUTAGE_S)
    _start_brokers(lab, 0)
    lab.begin()


def _stop_leader(lab: Lab, _: int) -> None:
    lab.cluster.stop_node(_leader(lab))


def _start_brokers(lab: Lab, _: int) -> None:
    for node in lab.cluster.nodes:
        if node.pid is None:
            lab.cluster.start_node(node.spec.id)
    lab.cluster.wait_ready(60)


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("none", "no fault", "", _nobody),
        Fault("worker-kill", "worker SIGKILL, supervised restart", "p95 under 2 s", _kill_worker),
        Fault(
            "worker-lost",
            "worker gone for good, no standby, 1 M keys of state",
            "session timeout + 3 s",
            _lose_worker,
            _begin_without_state,
            MILLION,
        ),
        Fault(
            "worker-lost-standby",
            "worker gone, standby 1, 1 M keys of state",
            "session timeout + 1 s",
            _lose_worker,
            _bring_back_worker,
            MILLION,
            {"standby": 1},
        ),
        Fault("worker-frozen", "worker SIGSTOP 20 s, then SIGCONT", "session timeout + 2 s", _freeze_worker),
        Fault("rolling", "rolling restart of all workers (SIGTERM)", "p95 under 1 s", _roll),
        Fault("scale", "scale 2 -> 3 -> 2", "p95 under 1.5 s", _scale),
        Fault("broker-kill", "leader broker SIGKILL", "p95 under 6 s", _kill_leader, _start_brokers),
        Fault(
            "broker-kill-sooner",
            "leader broker SIGKILL, brokers that notice sooner",
            "p95 under 6 s",
            _kill_leader,
            _start_brokers,
            brokers={
                "broker.session.timeout.ms": "2000",
                "controller.quorum.fetch.timeout.ms": "1000",
                "controller.quorum.election.timeout.ms": "500",
            },
        ),
        Fault(
            "broker-frozen", "leader broker SIGSTOP 20 s, then SIGCONT", "", _freeze_leader, _start_brokers
        ),
        Fault("broker-stop", "leader broker SIGTERM", "p95 under 1.5 s", _stop_leader, _start_brokers),
        Fault("quorum", "two of three brokers gone, then back", "5 s from quorum", _lose_quorum),
    )
}
