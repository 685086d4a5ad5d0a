"""A process in waiting takes the place of a worker that was killed, with its orders, status pipe and log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from holdfast.runtime import spare as module
from holdfast.runtime import supervisor as supervisor_module
from holdfast.runtime.orders import WorkerOrders
from holdfast.runtime.spare import Reserve, Waiting
from holdfast.runtime.supervisor import Supervisor, WorkerSpec
from tests.unit.runtime.kit import wait_until

WORKER = """
import os, sys, time
from holdfast.runtime.spare import take_orders
from holdfast.runtime.status import StatusLine, WorkerStatus
waited = "--wait" in sys.argv
orders = take_orders(sys.argv[1:])
print("pid", os.getpid(), orders.slot, "waited" if waited else "started", flush=True)
line = StatusLine(orders.status)
while line.send_status(WorkerStatus(records=7)):
    time.sleep(0.02)
"""
"""A worker that says who it is, and reports until nobody listens."""


@pytest.fixture
def spec(tmp_path: Path) -> WorkerSpec:
    """Give a worker for which a process in waiting can be kept."""
    program = (sys.executable, "-c", WORKER)
    orders = WorkerOrders("topology.yaml", "counter", "vm-0", str(tmp_path), "nowhere:1")
    return WorkerSpec(
        "counter",
        "vm-0",
        lambda descriptor: [*program, replace(orders, status=descriptor).to_json()],
        log=tmp_path / "worker.log",
        waiting=Waiting(program, orders),
    )


@pytest.fixture
def supervisor(spec: WorkerSpec, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """Give a supervisor whose worker runs."""
    monkeypatch.setattr(supervisor_module, "SPARE_AFTER_S", 0.1)
    supervisor = Supervisor([spec])
    supervisor.start()
    until(supervisor, lambda: supervisor.views[0].records)
    yield supervisor
    supervisor.stop(5.0)


def until(supervisor: Supervisor, condition: Callable[[], object]) -> None:
    """Poll until a condition holds."""

    def polled() -> object:
        supervisor.poll(0.02)
        return condition()

    wait_until(polled)


def waiting() -> list[psutil.Process]:
    """Our processes in waiting."""
    children = psutil.Process().children()
    return [it for it in children if it.status() != psutil.STATUS_ZOMBIE and module.WAIT in it.cmdline()]


def kill_worker(supervisor: Supervisor) -> int:
    """Kill the worker, and wait for the next one's first word; returns its process id."""
    pid = supervisor.views[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(supervisor, lambda: supervisor.views[0].records == 14)
    found = supervisor.views[0].pid
    assert found not in (None, pid)
    return int(found or 0)


def test_a_killed_worker_is_replaced_by_the_process_in_waiting(
    supervisor: Supervisor, spec: WorkerSpec
) -> None:
    """It writes where the first one wrote; another one waits soon."""
    until(supervisor, waiting)
    [spare] = waiting()
    assert kill_worker(supervisor) == spare.pid
    assert spec.log is not None
    first, second = spec.log.read_text().splitlines()
    assert first.endswith("vm-0 started")
    assert second == f"pid {spare.pid} vm-0 waited"
    until(supervisor, lambda: [it for it in waiting() if it.pid != spare.pid])


def test_a_worker_is_started_anew_when_nobody_waits_any_more(
    supervisor: Supervisor, spec: WorkerSpec
) -> None:
    """The process in waiting was killed first, as by a system that is short of memory."""
    until(supervisor, waiting)
    [spare] = waiting()
    spare.kill()
    wait_until(lambda: not spare.is_running() or spare.status() == psutil.STATUS_ZOMBIE)
    kill_worker(supervisor)
    assert spec.log is not None
    assert spec.log.read_text().splitlines()[1].endswith("started")
    assert waiting() == []


def test_stopping_leaves_nobody_waiting(supervisor: Supervisor) -> None:
    """A process in waiting ends by itself when nobody can give it orders."""
    until(supervisor, waiting)
    supervisor.stop(5.0)
    assert waiting() == []


def test_a_process_in_waiting_ends_with_its_supervisor(spec: WorkerSpec) -> None:
    """Killed without a chance to tell."""
    assert spec.waiting is not None
    script = textwrap.dedent(f"""
        import sys, time
        from holdfast.runtime.orders import WorkerOrders
        from holdfast.runtime.spare import Spare
        spare = Spare([sys.executable, "-c", {WORKER!r}], {{}})
        print(spare.process.pid, flush=True)
        time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as keeper:
        assert keeper.stdout is not None
        spare = psutil.Process(int(keeper.stdout.readline()))
        assert spare.is_running()
        keeper.kill()
    wait_until(lambda: not spare.is_running())


def test_one_that_ends_by_itself_is_not_started_again_at_once(
    spec: WorkerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something is wrong with the machine or the installation; the workers do not need it."""
    reserve = Reserve()
    broken = Waiting((sys.executable, "-c", "raise SystemExit(5)"), spec.waiting.orders)  # type: ignore[union-attr]
    starts: list[object] = []
    spare = module.Spare
    monkeypatch.setattr(module, "Spare", lambda *given: starts.append(given) or spare(*given))

    def filled() -> bool:
        reserve.fill(broken, {})
        return reserve._not_before > 0

    wait_until(filled)
    reserve.fill(broken, {})
    assert len(starts) == 1
    assert reserve.take(broken, 1, None) is None
