"""Workers whose supervisor is killed end soon, also when there are no brokers to say goodbye to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from tests.unit.runtime.both_kinds import write_application
from tests.unit.runtime.kit import wait_until

SUPERVISOR = """
import sys
from pathlib import Path
from holdfast.runtime.launch import LaunchSettings, worker_specs
from holdfast.runtime.supervisor import Supervisor
from holdfast.topology.load import load
topology, servers, processor = sys.argv[1:]
home = Path(topology).parent / "home"
supervisor = Supervisor(worker_specs(load(Path(topology)), LaunchSettings(servers, home, "s"), [processor]))
supervisor.start()
print(supervisor.views[0].pid, flush=True)
while True:
    supervisor.poll(0.1)
"""


def is_gone(pid: int) -> bool:
    """Whether a process has ended; nobody may have asked for its exit code yet."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def killed_supervisor(*arguments: str, ready: Path) -> int:
    """Start a supervisor, kill it once its worker has written `ready`; returns the worker's process."""
    parent = subprocess.Popen([sys.executable, "-c", *arguments], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
        wait_until(ready.exists, 20)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    return pid


@pytest.mark.parametrize("processor", ["native", "live"])
def test_a_worker_without_supervisor_and_brokers_is_gone_within_seconds(
    tmp_path: Path, processor: str
) -> None:
    """Nothing can be committed and no timer of Faust's runs: the worker ends all the same."""
    ready = tmp_path / "ready"
    topology = write_application(tmp_path, f"Path({str(ready)!r}).touch()")
    # What accepts and never answers holds up both kinds of client for long.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        servers = f"127.0.0.1:{silent.getsockname()[1]}"
        pid = killed_supervisor(SUPERVISOR, str(topology), servers, processor, ready=ready)
        try:
            wait_until(lambda: is_gone(pid), 15)
        finally:
            if not is_gone(pid):
                os.kill(pid, signal.SIGKILL)


RAW_SUPERVISOR = """
import sys, time
from pathlib import Path
from holdfast.chaos.workloads.raw import RawWorkload
from holdfast.runtime.supervisor import Supervisor
servers, folder = sys.argv[1], Path(sys.argv[2])
workload = RawWorkload(
    servers, folder / "recordings", folder, partitions=1, replication=1, rate=10, clients=1, seed=1
)
supervisor = Supervisor(workload.specs(1).values())
supervisor.start()
print(supervisor.views[0].pid, flush=True)
while True:
    supervisor.poll(0.1)
"""


def test_a_client_of_the_workload_raw_is_gone_as_soon(tmp_path: Path) -> None:
    """It waits for brokers that died with its supervisor, in one life after the other, and never reports."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        servers = f"127.0.0.1:{silent.getsockname()[1]}"
        pid = killed_supervisor(RAW_SUPERVISOR, servers, str(tmp_path), ready=tmp_path / "recordings")
        try:
            wait_until(lambda: is_gone(pid), 15)
        finally:
            if not is_gone(pid):
                os.kill(pid, signal.SIGKILL)


def test_a_worker_that_is_deaf_ends_after_its_time_of_grace(tmp_path: Path) -> None:
    """SIGTERM is not heard inside a call that never returns."""
    ready = tmp_path / "ready"
    worker = textwrap.dedent(f"""
        import signal, sys, time
        from pathlib import Path
        from holdfast.runtime.orphan import end_with_supervisor
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end_with_supervisor(int(sys.argv[1]), grace=0.2)
        Path({str(ready)!r}).touch()
        time.sleep(60)
    """)
    program = textwrap.dedent(f"""
        import sys
        from holdfast.runtime.supervisor import Supervisor, WorkerSpec
        s = Supervisor([WorkerSpec("c", "s", lambda fd: [sys.executable, "-c", {worker!r}, str(fd)])])
        s.start()
        print(s.views[0].pid, flush=True)
        while True:
            s.poll(0.1)
    """)
    pid = killed_supervisor(program, ready=ready)
    wait_until(lambda: is_gone(pid), 10)
