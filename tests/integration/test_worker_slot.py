"""Two workers in one slot: told on one machine, fenced over two. No brokers: told at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.local.ports import free_ports
from holdfast.runtime.supervisor import WorkerState
from tests.support.application import Application
from tests.support.command import startup_seconds
from tests.support.events import Added
from tests.support.fold import assert_exactly_once
from tests.support.load import Load

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
Make = Callable[..., Application]

BROKEN = """
from holdfast import processor
from test_events import Added

@processor
def handle(event: Added) -> None:
    raise ValueError("broken handler")
"""


def test_a_second_worker_in_a_slot_of_this_machine_is_refused(application: Make) -> None:
    """It ends for good and names the owner; the owner notices nothing."""
    app = application()
    with app.run() as first:
        first.until_running()
        with app.run() as second:
            second.until(lambda: second.supervisor.all_ended, 20, "its end", failing=True)
            view = second.views[0]
            assert view.state is WorkerState.FAILED
            assert f"slot slot-0 is taken by process {first.pid()} on this machine" in view.error
            assert "give this worker another slot" in view.error
        assert first.views[0].restarts == 0
        assert first.running() == 4


def test_a_second_worker_in_a_slot_of_another_machine_fences_the_first(
    application: Make, tmp_path: Path
) -> None:
    """Other folders, so nothing local can tell. The older one gives way at last; no output is doubled.

    At first each fences the other: a lone worker may be fenced too, so one time is not believed.
    """
    app = application()
    with app.run(home=tmp_path / "one") as first:
        first.until_running()
        with Load(app):
            first.until(lambda: first.views[0].records, 20, "records")
            with app.run(home=tmp_path / "two") as second:
                first.until(
                    lambda: second.supervisor.poll(0.02) or first.supervisor.all_ended,
                    40,
                    "the old one's end",
                    failing=True,
                )
                assert first.views[0].state is WorkerState.FAILED
                assert "slot" in first.views[0].error
                second.until(lambda: second.running() == 4, 30, "the new one at work")
                second.let_run(0.5)
                assert second.views[0].state is WorkerState.RUNNING
        with app.run(home=tmp_path / "two") as second:
            second.until_drained()
    assert_exactly_once(app)


def run_command(app: Application, *options: str, servers: str) -> subprocess.Popen[str]:
    """`holdfast run` as a user starts it."""
    command = [sys.executable, "-m", "holdfast", "run", "--topology", str(app.folder / "topology.yaml")]
    return subprocess.Popen(
        [*command, "--bootstrap-servers", servers, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "HOLDFAST_HOME": str(app.home), "COLUMNS": "200"},
    )


def test_run_without_brokers_says_so_within_ten_seconds(application: Make) -> None:
    """Exit code 1, no traceback."""
    app = application()
    [port] = free_ports(1)
    began = time.monotonic()
    process = run_command(app, servers=f"127.0.0.1:{port}")
    output, _ = process.communicate(timeout=40)
    assert time.monotonic() - began < 10 + startup_seconds()
    assert process.returncode == 1
    assert "Traceback" not in output
    assert f"127.0.0.1:{port}" in output


def test_run_ends_with_an_error_that_names_what_failed(application: Make) -> None:
    """A handler that raises everywhere: exit code 1, the cause, and where the log is."""
    app = application(handler=BROKEN, tables={}, outputs={}, topic={"partitions": 1})
    app.publish(Added(key="k", n=1))
    process = run_command(app, servers=app.servers)
    output, _ = process.communicate(timeout=40)
    assert process.returncode == 1
    assert "Traceback" not in output
    assert "failed: counter" in output


def test_run_ends_in_good_order_on_ctrl_c(application: Make) -> None:
    """Exit code 0 and no worker left."""
    app = application()
    process = run_command(app, servers=app.servers)
    with Load(app, rate=300), app.run("other") as other:
        other.until(lambda: len({m.partition() for m in app.read("sums")}) == 4, 30, "outputs")
        other.until(lambda: other.running() in (1, 2, 3), 30, "shared work")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 0, output
        other.until(lambda: other.running() == 4, 30, "all shards")
    with app.run("other") as other:
        other.until_drained()
    assert_exactly_once(app)
