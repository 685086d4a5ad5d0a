"""The control that is right: Kafka Streams under crashes, judged by the same checker as Holdfast."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.chaos.clients import streams
from holdfast.chaos.clients.streams import StreamsOrders
from holdfast.errors import JavaProgramError
from holdfast.local.maven import find_jdk
from holdfast.runtime.supervisor import Supervisor, WorkerSpec, WorkerState
from tests.support.experiments import run

STOP_S = 30.0

CRASHES = """
workload: {kind: sequence, engine: kafka-streams, rate: 500, keys: 500, partitions: 4, workers: 2, standby: 1}
time_limit: 40s
faults:
  - {at: 3s, fault: broker.kill, target: leader, for: 8s}
  - {at: 24s, fault: worker.crash, target: owner of shard 0}
invariants: [exactly-once, state-fold, per-key-order, no-lost-writes, transactions-finished]
"""


def can_be_built() -> bool:
    """Whether this machine has a JDK and Maven, which Holdfast itself does without."""
    try:
        find_jdk()
    except JavaProgramError:
        return False
    return shutil.which("mvn") is not None


pytestmark = [
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(420),
    pytest.mark.skipif(not can_be_built(), reason="a JDK 17 and Maven build the program for Kafka Streams"),
]


@pytest.fixture
def orders(tmp_path: Path) -> StreamsOrders:
    """Of a worker whose brokers are not there: it waits for them."""
    return StreamsOrders(
        servers="127.0.0.1:9",
        worker="worker-0",
        application="app",
        instance="app.worker-0",
        input="steps",
        input_type="Step.v1",
        output="stepped",
        output_type="Stepped.v1",
        replication=1,
        standby=0,
        commit_interval_ms=100,
        session_timeout_ms=6_000,
        state_folder=str(tmp_path / "state"),
    )


@pytest.fixture
def supervisor(tmp_path: Path, orders: StreamsOrders) -> Supervisor:
    """One that has started such a worker."""
    command = streams.command()
    spec = WorkerSpec(
        "lab",
        "worker-0",
        lambda descriptor: [*command, replace(orders, status=descriptor).to_json()],
        log=tmp_path / "log",
    )
    made = Supervisor([spec])
    made.start()
    return made


def poll_until(supervisor: Supervisor, is_so: Callable[[], bool]) -> None:
    """Serve the worker until something is so."""
    deadline = time.monotonic() + STOP_S
    while not is_so():
        assert time.monotonic() < deadline, supervisor.views[0]
        supervisor.poll(0.1)


def test_a_worker_reports_comes_back_after_a_crash_and_stops_in_order(supervisor: Supervisor) -> None:
    [view] = supervisor.views
    poll_until(supervisor, lambda: view.state is WorkerState.RUNNING)
    first = view.pid
    assert first is not None
    os.kill(first, 9)
    poll_until(supervisor, lambda: view.restarts == 1 and view.state is WorkerState.RUNNING)
    assert view.error == "killed by SIGKILL"
    supervisor.stop(STOP_S)
    assert view.state is WorkerState.STOPPED


def test_a_worker_ends_with_its_supervisor(orders: StreamsOrders) -> None:
    reading, writing = os.pipe()
    command = [*streams.command(), replace(orders, status=writing).to_json()]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as process:
        os.close(writing)
        assert b'"type": "status"' in os.read(reading, 1_000)
        os.close(reading)
        # In good order, or without it once that takes too long.
        assert process.wait(STOP_S) in (0, 1)


def test_kafka_streams_loses_and_doubles_nothing(tmp_path: Path) -> None:
    result = run(tmp_path, "crashes", CRASHES)
    assert result.validity == "valid", result
    assert result.counts["published"] > 15_000
    assert all(fault.hit and fault.evidence and not fault.error for fault in result.faults)
    assert {span.state for span in result.owners} >= {"worker-0", "worker-1"}
