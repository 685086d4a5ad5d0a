"""A slot belongs to one process on a machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.errors import SlotTaken, StateError
from holdfast.runtime.launch import LaunchSettings, worker_specs
from holdfast.runtime.slot import SlotLock
from holdfast.runtime.supervisor import Supervisor, WorkerState
from holdfast.topology.load import load
from tests.unit.runtime.both_kinds import write_application
from tests.unit.runtime.kit import wait_until

HOLD = """
import sys, time
from pathlib import Path
from holdfast.runtime.slot import SlotLock
with SlotLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_in_the_same_slot_is_refused_with_the_owners_pid(tmp_path: Path) -> None:
    """And gets the slot as soon as the owner is dead, even if it was killed."""
    owner = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "host-0")], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        owner.stdout.readline()
        with pytest.raises(SlotTaken, match=rf"slot host-0 is taken by process {owner.pid} on this machine"):
            SlotLock(tmp_path / "host-0")
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    with SlotLock(tmp_path / "host-0"):
        assert (tmp_path / "host-0" / "LOCK").read_text() == str(os.getpid())


def test_the_slot_is_free_after_the_block(tmp_path: Path) -> None:
    """Also for the same process."""
    for _ in range(2):
        with SlotLock(tmp_path):
            pass


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """With what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"cannot be used.*HOLDFAST_HOME"):
        SlotLock(tmp_path / "file" / "slot")


def test_every_worker_has_its_own_log_and_folder(tmp_path: Path) -> None:
    """Also on a host whose name has dots."""
    topology = tmp_path / "topology.yaml"
    topology.write_text(
        "app: a\n"
        "topics: {t: {event: m:E, partitions: 2}}\n"
        "processors: {p: {handler: m:h, reads: [t], workers: 3}}\n"
    )
    specs = worker_specs(load(topology), LaunchSettings("b:1", tmp_path, "host.example.com"))
    assert [spec.slot for spec in specs] == [f"host.example.com-{i}" for i in range(3)]
    assert [spec.log and spec.log.name for spec in specs] == [f"host.example.com-{i}.log" for i in range(3)]
    assert len({str(spec.command(3)) for spec in specs}) == 3


@pytest.mark.parametrize("processor", ["native", "live"])
def test_a_second_worker_of_either_kind_is_refused_for_good(tmp_path: Path, processor: str) -> None:
    """Faust would join as a second member, and both would write one state folder."""
    topology = load(write_application(tmp_path))
    settings = LaunchSettings("127.0.0.1:1", tmp_path, "host", logs=False)
    specs = worker_specs(topology, settings, [processor])
    with SlotLock(tmp_path / "state" / "a" / processor / "host-0"):
        second = Supervisor(specs)
        second.start()
        try:
            wait_until(lambda: second.poll(0.02) or second.all_ended, 30)
        finally:
            second.stop(1.0)
    [view] = second.views
    assert (view.state, view.restarts) == (WorkerState.FAILED, 0)
    assert f"slot host-0 is taken by process {os.getpid()} on this machine" in view.error
    assert "a worker of another `holdfast run`" in view.error
    assert "--slot-prefix" in view.error
